"""A request's body made into the one that a model's server gets.

1. Only what changes is rewritten: a member of which nothing is said keeps its bytes. Members are JSON's; of forms and queries only the
   model's name changes.
2. A body in memory is taken apart by its outermost members and put together again, without looking into them.
3. A body in pieces is read once to see where it changes, and changed as it is sent: `Scan`. Nothing of it is held but the latest piece and the
   members in which something changes.
4. A member given twice counts as it was given last; no server gets to read another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from corral.dialects import paths
from corral.dialects.body import JSON, Layout, unreadable
from corral.wire import multipart, pairs
from corral.wire.members import Members
from corral.wire.splice import Edit, Found, Span, splice

MODEL: Final = "model"
INSIDE_LIMIT: Final = 2**20
"""Bytes of a member in which something changes, when the body comes in pieces."""

Change: TypeAlias = tuple[paths.Path, bytes | None]
"""A path within a member, and the JSON text that comes there; None: nothing stays there."""

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def changed(raw: bytes, changes: Sequence[Change]) -> bytes:
    """A member's JSON text after the changes, in their order. Empty where there is none. Raises InvalidRequest."""
    try:
        for path, value in changes:
            if value is not None:
                raw = paths.put(raw, path, value)
            else:
                raw = paths.cut(raw, path) if path else b""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(raw, error) from None
    return raw


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes: the model's name (empty: it stays), members that become a JSON text (None: they go), and changes within members."""

    model: str = ""
    fixed: Mapping[str, bytes | None] = field(default_factory=dict)
    inside: Mapping[str, Sequence[Change]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.model or self.fixed or self.inside)

    @property
    def members(self) -> dict[str, bytes | None]:
        """`fixed`, and the model's name."""
        named = {MODEL: msgspec.json.encode(self.model)} if self.model else {}
        return {**named, **self.fixed}

    def apply(self, body: bytes, layout: Layout = JSON) -> bytes:
        """A whole body (or query) with the changes. Raises InvalidRequest where it cannot be read."""
        if layout.kind == "json":
            return self._rewritten(body)
        scan = Scan(self, layout)
        scan.feed(body)
        scan.end()
        return splice(body, scan.edits())

    def _rewritten(self, body: bytes) -> bytes:
        try:
            before = _object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(body, error) from None
        after = dict(before)
        for name, value in self._all(before):
            if value is None:
                after.pop(name, None)
            else:
                after[name] = msgspec.Raw(value)
        return body if after == before else msgspec.json.encode(after)

    def _all(self, before: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, bytes | None]]:
        yield from self.members.items()
        for name, changes in self.inside.items():
            old = bytes(before.get(name, b""))
            new = changed(old, changes)
            if new != old:
                yield name, new or None


class Scan:
    """Fed a body in pieces, it tells where the body changes: `feed` them all, `end`, then ask. Raises InvalidRequest anywhere."""

    def __init__(self, changes: Changes, layout: Layout = JSON) -> None:
        self._changes = changes
        self._layout = layout
        self._members = changes.members
        self._scan: Members | pairs.Pairs | multipart.Fields
        match layout.kind:
            case "json":
                self._scan = Members(*changes.inside, located=self._members, limit=INSIDE_LIMIT)
            case "urlencoded":
                self._scan = pairs.Pairs(MODEL)
            case "multipart":
                self._scan = multipart.Fields(layout.boundary, MODEL)

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size."""
        self._scan.feed(piece)

    def end(self) -> None:
        """That was all."""
        self._scan.end()

    def edits(self) -> list[Edit]:
        """What comes in the place of what, in order."""
        if isinstance(self._scan, Members):
            edits = list(self._in_members(self._scan))
        else:
            edits = self._in_form(self._scan) if self._changes.model else []
        return [edit for edit in edits if edit.new or edit.span.start < edit.span.end]

    def _in_members(self, scan: Members) -> Iterator[Edit]:
        """New members come first. One that goes takes the comma behind it along; the last ones take the comma before them."""
        found, news = scan.found, [self._new(one) for one in scan.found]
        last = scan.closed
        while news and news[-1] is None and found[len(news) - 1].whole.end == last:
            news.pop()
            last = found[len(news)].whole.start
        stays = last > scan.opened
        added = b",".join(self._added({one.name for one in found}))
        yield Edit(Span(scan.opened, scan.opened), added + b"," if added and stays else added)
        for one, new in zip(found, news, strict=False):
            yield Edit(one.whole) if new is None else Edit(one.span, new)
        yield Edit(Span(last - (stays and last < scan.closed), scan.closed))

    def _new(self, found: Found) -> bytes | None:
        if found.name in self._members:
            return self._members[found.name]
        return changed(found.raw, self._changes.inside[found.name])

    def _added(self, there: Collection[str]) -> Iterator[bytes]:
        new = {name: changed(b"", changes) for name, changes in self._changes.inside.items()}
        for name, value in (self._members | new).items():
            if value and name not in there:
                yield msgspec.json.encode(name) + b":" + value

    def _in_form(self, scan: pairs.Pairs | multipart.Fields) -> list[Edit]:
        if isinstance(scan, multipart.Fields):
            name = self._changes.model.encode()
            added = multipart.part(self._layout.boundary, MODEL, name)
        else:
            name = pairs.encode(self._changes.model)
            added = b"model=" + name + (b"" if scan.empty else b"&")
        edits = [Edit(one.span, name) for one in scan.found]
        return edits or [Edit(Span(scan.opened, scan.opened), added)]

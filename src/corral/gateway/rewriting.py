"""Reading and changing a request's body, wherever it is: in memory at once, on disk while it streams past.

1. The loop is never held up for long: of a body on disk, `SLICE` bytes are looked at in one turn.
2. A body on disk stays there; nothing of it is built in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from corral.dialects import body as bodies
from corral.dialects.body import Asked, Layout
from corral.dialects.changes import Changes, Scan
from corral.gateway.ports import Body
from corral.wire.splice import Edit, Splice, growth

SLICE = 128 * 1024
"""Bytes: half a millisecond for most texts, five for one of nothing but brackets."""


class _Reader(Protocol):
    def feed(self, piece: bytes) -> None: ...

    def end(self) -> None: ...


async def asked(body: bytes | Body, layout: Layout, default: str | None) -> Asked:
    """What the body asks for; `default` is the model when it names none. Raises InvalidRequest, ModelRequired."""
    if isinstance(body, bytes):
        return bodies.read(body, layout, default)
    reader = bodies.Reader(layout)
    await _feed(reader, body)
    return reader.asked(default)


async def rewritten(body: bytes | Body, layout: Layout, changes: Changes | None) -> bytes | Body:
    """The body with the changes. Raises InvalidRequest where it cannot be read."""
    if not changes:
        return body
    if isinstance(body, bytes):
        return changes.apply(body, layout)
    scan = Scan(changes, layout)
    await _feed(scan, body)
    edits = scan.edits()
    return Rewritten(body, edits) if edits else body


async def _feed(reader: _Reader, body: Body) -> None:
    async for piece in body.chunks():
        for at in range(0, len(piece), SLICE):
            reader.feed(piece[at : at + SLICE])
            await asyncio.sleep(0)
    reader.end()


class Rewritten:
    """A body on disk, changed while it is sent. Fits `ports.Body`."""

    def __init__(self, body: Body, edits: Sequence[Edit]) -> None:
        self._body = body
        self._edits = edits

    def __repr__(self) -> str:
        return f"<Rewritten {self._body!r} in {len(self._edits)} places>"

    @property
    def size(self) -> int:
        return self._body.size + growth(self._edits)

    async def chunks(self) -> AsyncIterator[bytes]:
        splice = Splice(self._edits)
        async for piece in self._body.chunks():
            yield splice.feed(piece)

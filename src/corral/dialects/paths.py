r"""Fields inside a JSON text, by dotted paths, as `filters` name them (gjson's and sjson's way, without their queries).

1. `a.b` is the field `b` of `a`; `\.` is a dot in a name. In a list, a number is an index and `-1` the last element, or, where something is set, a new
   one; `:1` is a name even so.
2. Setting makes what is not there on the way: a list where the path has an index, else an object; a list grows by nulls. What is no
   container gives way to one.
3. What is not touched keeps its bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from corral.errors import InvalidRequest

_STEP: Final = re.compile(r"((?:\\.|[^.\\])*+)\\?(\.|\Z)", re.DOTALL)
_INDEX: Final = re.compile(r"[0-9]{1,4}")
"""A longer number is a name: nobody means to make a list of a hundred thousand nulls."""
LAST: Final = -1

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path; `index` is None where it can only be a name."""

    name: str
    index: int | None = None


Path: TypeAlias = tuple[Step, ...]


def parse(text: str) -> Path:
    """The steps of a dotted path. Any text is one."""
    steps, at = [], 0
    while match := _STEP.match(text, at):
        steps.append(_step(match[1]))
        at = match.end()
        if not match[2]:
            break
    return tuple(steps)


def _step(text: str) -> Step:
    name = re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
    if text.startswith(":"):
        return Step(name[1:])
    if name == "-1":
        return Step(name, LAST)
    return Step(name, int(name) if _INDEX.fullmatch(name) else None)


def put(raw: bytes, path: Path, value: bytes) -> bytes:
    """The JSON text `raw` (empty: nothing yet) with `value` at `path`. Raises InvalidRequest where a list is asked for a name."""
    if not path:
        return value
    (step, *rest), kind = path, raw[:1]
    if kind == b"[" or (kind != b"{" and step.index is not None):
        return _put_in_list(raw if kind == b"[" else b"[]", step, tuple(rest), value)
    members = _object(raw) if kind == b"{" else {}
    members[step.name] = msgspec.Raw(put(_bytes(members.get(step.name)), tuple(rest), value))
    return msgspec.json.encode(members)


def _put_in_list(raw: bytes, step: Step, rest: Path, value: bytes) -> bytes:
    if step.index is None:
        raise InvalidRequest(f"a filter sets the field `{step.name}` of what is a list in the body")
    elements = _list(raw)
    # As in sjson: -1 is one more, also where a longer path goes on from it.
    index = len(elements) if step.index == LAST else step.index
    elements += [msgspec.Raw(b"null")] * (index + 1 - len(elements))
    elements[index] = msgspec.Raw(put(bytes(elements[index]), rest, value))
    return msgspec.json.encode(elements)


def cut(raw: bytes, path: Path) -> bytes:
    """The JSON text `raw` without what is at `path`, which has at least one step."""
    (step, *rest), kind = path, raw[:1]
    if kind == b"{":
        return _cut_from(_object(raw), raw, step.name, tuple(rest))
    if kind == b"[" and step.index is not None:
        elements = dict(enumerate(_list(raw)))
        index = len(elements) - 1 if step.index == LAST else step.index
        return _cut_from(elements, raw, index, tuple(rest))
    return raw


def _cut_from(inside: dict[Any, msgspec.Raw], raw: bytes, key: str | int, rest: Path) -> bytes:
    """`raw` when there is nothing by that key. A list comes as its elements by index."""
    if key not in inside:
        return raw
    if rest:
        inside[key] = msgspec.Raw(cut(bytes(inside[key]), rest))
    else:
        del inside[key]
    return msgspec.json.encode(inside if raw.startswith(b"{") else list(inside.values()))


def _bytes(raw: msgspec.Raw | None) -> bytes:
    return b"" if raw is None else bytes(raw)

"""Bytes that are given inline, as base64: held apart from their message, by the hash of the bytes.

1. `attach(*detach(message))` is the message, byte for byte.
2. Where the base64 of some bytes stands, as a data URL or under `data`, in a part of whatever API, it is replaced by a reference:
   `{"$blob": hash, "before": what stood before the base64}`.
3. A message that has a member named `$blob` itself gets it back, and cannot be taken for a reference.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from corral.sessions.record import Message

SMALLEST: Final = 1024
"""Characters of base64 that are worth holding apart."""
DEEPEST: Final = 16
"""Levels into a message that are looked at; no API's parts go half as deep."""
_NESTED: Final = (dict, list)
_MARK: Final = "$blob"
_OWN: Final = re.compile(r"\$+blob\Z")
_DATA_URL: Final = re.compile(r"data:[^,]{0,256};base64,")
_NAKED: Final = ("data", "file_data")
"""Members whose value may be base64 without a `data:` before it."""

_GONE: Final = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "sound",
}


class Inline(NamedTuple):
    """A text that holds bytes."""

    before: str
    """What stands before the base64: `data:image/png;base64,`, or nothing."""
    encoded: str
    bytes: bytes


def inline(text: str, name: str = "", *, smallest: int = SMALLEST) -> Inline | None:
    """The bytes that a member's text holds; `name` is the member's. None for other text, and for base64 that another writer would
    have written otherwise."""
    found = _DATA_URL.match(text) if text[:5] == "data:" else None
    if found is None and name not in _NAKED:
        return None
    before = found.group() if found else ""
    encoded = text[len(before) :]
    if len(encoded) < smallest or not encoded.isascii():
        return None
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Inline(before, encoded, raw) if base64.b64encode(raw).decode() == encoded else None


def named(raw: bytes) -> str:
    """The hash that a blob goes by: SHA-256 of its bytes, in hex."""
    return sha256(raw).hexdigest()


def reference(value: object) -> str:
    """The hash that stands in a text's place; empty for everything else."""
    found = value.get(_MARK) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def detach(message: Message) -> tuple[Message, dict[str, bytes]]:
    """The message with references, and the bytes they stand for, by hash. The message that is given stays as it is."""
    found: dict[str, bytes] = {}

    def text(value: str, name: str) -> object:
        held = inline(value, name)
        if held is None:
            return value
        key = named(held.bytes)
        found[key] = held.bytes
        return {_MARK: key, "before": held.before}

    def members(value: dict[str, Any]) -> dict[str, Any]:
        return {(f"${key}" if _OWN.match(key) else key): value[key] for key in value}

    detached: Message = _walked(message, "", DEEPEST, text, members)
    return detached, found


def attach(message: Message, blobs: Mapping[str, bytes]) -> Message:
    """What was detached, with its bytes again. A part whose bytes are not there becomes a short text that says so."""
    content = message.get("content")
    if isinstance(content, list):
        message = message | {"content": [_present(part, blobs) for part in content]}

    def members(value: dict[str, Any]) -> object:
        if key := reference(value):
            raw = blobs.get(key, b"")
            return value.get("before", "") + base64.b64encode(raw).decode()
        return {(key[1:] if _OWN.match(key) else key): value[key] for key in value}

    attached: Message = _walked(message, "", DEEPEST, _same, members)
    return attached


def hashes(message: Message) -> set[str]:
    """Of the blobs that a detached message refers to."""
    return set(_references(message, DEEPEST))


def _present(part: Any, blobs: Mapping[str, bytes]) -> Any:
    if all(key in blobs for key in _references(part, DEEPEST - 2)):
        return part
    kind = part.get("type") if isinstance(part, dict) else ""
    what = _GONE.get(str(kind), "file")
    return {"type": "text", "text": f"[{what} no longer kept]"}


def _references(value: Any, depth: int) -> Collection[str]:
    if not depth or not isinstance(value, _NESTED):
        return []
    if key := reference(value):
        return [key]
    inner = value.values() if isinstance(value, dict) else value
    nested = (item for item in inner if isinstance(item, _NESTED))
    return [key for item in nested for key in _references(item, depth - 1)]


def _same(value: str, _name: str) -> object:
    return value


def _walked(
    value: Any,
    name: str,
    depth: int,
    text: Callable[[str, str], object],
    members: Callable[[dict[str, Any]], object],
) -> Any:
    """A copy of the value with every text, and every object's members, replaced; what lies too deep is left as it is."""
    if not depth:
        return value
    if isinstance(value, str):
        return text(value, name)
    if isinstance(value, list):
        return [_walked(item, name, depth - 1, text, members) for item in value]
    if not isinstance(value, dict):
        return value
    replaced = members(value)
    if not isinstance(replaced, dict):
        return replaced
    return {key: _walked(item, key, depth - 1, text, members) for key, item in replaced.items()}

"""A conversation request's body, taken apart, and how it is said what is wrong with it.

1. A member is only built when it is asked for; a member of a wrong type that no conversation needs says nothing.
2. What is wrong is told with its place: `messages[3]: ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from corral.dialects.body import unreadable
from corral.dialects.turns.shape import Asked
from corral.errors import InvalidRequest

_Object: TypeAlias = dict[str, Any]

_Shape = TypeVar("_Shape")

JUNK: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for text that is no JSON, or none of the wanted shape."""
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value: Final = msgspec.json.Decoder().decode


def nested(read: Callable[[_Shape, bytes], Asked]) -> Callable[[_Shape, bytes], Asked]:
    """A reading that raises InvalidRequest for a body that is nested too deeply, wherever that is noticed."""

    @wraps(read)
    def reading(shape: _Shape, body: bytes) -> Asked:
        try:
            return read(shape, body)
        except RecursionError as error:
            raise unreadable(body, error) from None

    return reading


class Request:
    """Raises InvalidRequest where the body is no JSON object."""

    def __init__(self, body: bytes) -> None:
        try:
            self._members = _members(body)
        except JUNK as error:
            raise unreadable(body, error) from None

    def value(self, name: str) -> Any:
        """The member, None if it is not there. Raises InvalidRequest where it is no JSON."""
        raw = self._members.get(name)
        if raw is None:
            return None
        try:
            return _value(raw)
        except JUNK as error:
            raise unreadable(bytes(raw), error) from None

    def count(self, *names: str) -> int | None:
        """The first of these members that is a number from 0 up."""
        values = map(self.value, names)
        return next((value for value in values if type(value) is int and value >= 0), None)

    def length(self, *names: str) -> int:
        """Characters of these members' JSON, those that are null left out."""
        texts = (bytes(self._members[name]) for name in names if name in self._members)
        return sum(len(text.decode(errors="replace")) for text in texts if text != b"null")

    def objects(self, name: str, wanted: str = "a list") -> list[_Object]:
        """A list of objects, not empty; `wanted` says what the member may be. Raises InvalidRequest."""
        value = self.value(name)
        if value is None:
            raise InvalidRequest(f"`{name}` is missing; send {wanted}")
        if not isinstance(value, list):
            raise InvalidRequest(f"`{name}` must be {wanted}, not {told(value)}")
        if not value:
            raise InvalidRequest(f"`{name}` is empty; a conversation has at least one message")
        return [an_object(item, f"{name}[{at}]") for at, item in enumerate(value)]


def wrong(where: str, what: str) -> InvalidRequest:
    """`where` is a place in the body: `messages[3]`."""
    return InvalidRequest(f"{where}: {what}")


def told(value: object) -> str:
    """A JSON value's kind, for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
    return "an object"


def an_object(value: object, where: str) -> _Object:
    if not isinstance(value, dict):
        raise wrong(where, f"must be an object, not {told(value)}")
    return value


def a_text(value: object, where: str, name: str) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        raise wrong(where, f"`{name}` must be text, not {told(value)}")
    if not value:
        raise wrong(where, f"`{name}` is empty")
    return value


def a_role(value: object, where: str, roles: Iterable[str]) -> str:
    if value is None:
        raise wrong(where, f"has no `role`; it is one of {', '.join(roles)}")
    if not isinstance(value, str) or value not in roles:
        raise wrong(where, f"`role` must be one of {', '.join(roles)}, not {_quoted(value)}")
    return value


def _quoted(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else told(value)


def a_content(
    value: object, where: str, part: Callable[[_Object, str], None], name: str = "content"
) -> None:
    """Text, nothing, or a list of objects with a `type`, each of which `part` looks at."""
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong(where, f"`{name}` must be text or a list of parts, not {told(value)}")
    for at, item in enumerate(value):
        place = f"{where}.{name}[{at}]"
        a_text(an_object(item, place).get("type"), place, "type")
        part(item, place)


def passes(check: Callable[[_Object, str], None], value: _Object) -> bool:
    """Whether a client may send it."""
    try:
        check(value, "")
    except InvalidRequest:
        return False
    return True


def encoded(value: object) -> bytes:
    return msgspec.json.encode(value)

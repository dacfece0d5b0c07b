"""Where the members of a JSON object sit, found while its text comes in pieces.

1. Only the outermost object's members count; nested ones, and text that looks like one, do not.
2. Memory is bounded: nothing is held but a name or a wanted value, and the latest piece.
3. It says where values are, not that all of the text is good JSON: whoever gets the body judges what is inside the values.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec

from corral.errors import InvalidRequest
from corral.wire.splice import Found, Span
from corral.wire.window import LIMIT, Steps, Window

# Possessive throughout: linear in the text, whatever the text. `[^"]` alone is the quickest loop that there is, so a string goes from quote
# to quote, over those behind a single backslash; only where more backslashes meet a quote it is read again, escape by escape.
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_QUICKLY: Final = rb'[^"]*+(?:(?<=[^\\]\\)"[^"]*+)*+'
_ESCAPES: Final = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_STRING: Final = rb'(?>"%b"(?<!\\")|"%b")' % (_QUICKLY, _ESCAPES)
_IN_STRING: Final = re.compile(_QUICKLY)
_IN_ESCAPES: Final = re.compile(_ESCAPES, re.DOTALL)
_NAME: Final = re.compile(_STRING, re.DOTALL)
# Up to the next bracket (or, not nested, the next comma). Whole strings are stepped over here, in C; the match stops before the quote
# of one that the piece cuts off.
_NESTED: Final = re.compile(rb'[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+' % _STRING, re.DOTALL)
_PLAIN: Final = re.compile(rb'[^"{}\[\],]*+(?:%b[^"{}\[\],]*+)*+' % _STRING, re.DOTALL)


class Members:
    """Fed the text of an object, it finds the values of the members called `names`; a name given again is found again.

    Of the members in `located` it says only where they are (`raw` is empty), so they may be of any size; of `names`, each value and name
    has at most `limit` bytes.
    """

    def __init__(self, *names: str, located: Collection[str] = (), limit: int = LIMIT) -> None:
        self._names = names
        self._located = located
        self._window = Window(wanted=len(names) + len(located), limit=limit)
        self._complete = False
        self._steps = self._object()
        next(self._steps)
        self.opened = 0
        """The offset just behind the object's brace."""
        self.empty = True
        """The object has no member at all."""
        self.closed = 0
        """The offset where the last member's value ends, or would."""

    @property
    def found(self) -> list[Found]:
        """Wanted values, in the body's order; `raw` is JSON text."""
        return self._window.found

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size. Raises InvalidRequest where the text cannot be an object's."""
        self._window.push(piece)
        next(self._steps)

    def end(self) -> None:
        """That was all. Raises InvalidRequest if the object is not complete."""
        if not self._complete:
            raise InvalidRequest("the body is not a JSON object: it ends too early")

    def _object(self) -> Steps[None]:
        yield from self._take(b"{")
        self.opened = self._window.offset
        self.empty = (yield from self._peek()) == b"}"
        self.closed = behind = self.opened
        more = not self.empty
        while more:
            more = yield from self._member(behind)
            behind = self._window.offset
        yield from self._take(b"}")
        self._complete = True
        yield from self._peek()
        raise InvalidRequest("the body is not JSON: something follows the object")

    def _peek(self) -> Steps[bytes]:
        """The next byte that is not white space; it is not taken."""
        window = self._window
        while True:
            window.at = _end(_SPACE, window)
            if window.at < len(window.held):
                return window.held[window.at : window.at + 1]
            yield

    def _take(self, char: bytes) -> Steps[None]:
        if (yield from self._peek()) != char:
            raise self._unexpected(f"`{char.decode()}`")
        self._window.at += 1

    def _name(self) -> Steps[str]:
        window = self._window
        if (yield from self._peek()) != b'"':
            raise self._unexpected("a name")
        window.pin()
        while (match := _NAME.match(window.held, window.at)) is None:
            yield
        window.at = match.end()
        return _text(window.unpin())

    def _member(self, behind: int) -> Steps[bool]:
        """Over a member and the comma behind it, if there is one. `behind` is where the one before it ended."""
        window = self._window
        name = yield from self._name()
        yield from self._take(b":")
        raw, span = yield from self._value(held=name in self._names)
        more = (yield from self._peek()) == b","
        window.at += more
        self.closed = span.end
        if name in self._names or name in self._located:
            whole = Span(behind, window.offset if more else span.end)
            window.note(Found(name, raw, span, whole))
        return more

    def _value(self, *, held: bool) -> Steps[tuple[bytes, Span]]:
        window = self._window
        yield from self._peek()
        start = window.offset
        if held:
            window.pin()
        yield from self._skip()
        if window.offset == start:
            raise self._unexpected("a value")
        raw = window.unpin().rstrip(b" \t\r\n") if held else b""
        return raw, Span(start, start + len(raw) if held else window.offset)

    def _skip(self) -> Steps[None]:
        """Up to what ends a member: a comma, or a bracket that this member did not open."""
        window, depth = self._window, 0
        while True:
            window.at = _end(_NESTED if depth else _PLAIN, window)
            char = window.held[window.at : window.at + 1]
            if not char:
                yield
            elif char == b'"':
                yield from self._string()
            elif not depth and char in b",}]":
                return
            else:
                depth += 1 if char in b"{[" else -1
                window.at += 1

    def _string(self) -> Steps[None]:
        """Over a string that may go on in the next pieces."""
        window = self._window
        window.at += 1
        while not self._closes():
            yield
        window.at += 1

    def _closes(self) -> bool:
        """Inside a string: on to its closing quote, which is there, or to the end of what is held, without half an escape."""
        window, held = self._window, self._window.held
        end = held.find(b'"', window.at)
        if held[end - 1 : end] == b"\\":
            end = _end(_IN_STRING, window)
        if end < 0 or end == len(held):
            window.at = len(held) - (len(held) - len(held.rstrip(b"\\"))) % 2
            return False
        window.at = _end(_IN_ESCAPES, window) if held[end - 1 : end] == b"\\" else end
        return held[window.at : window.at + 1] == b'"'

    def _unexpected(self, wanted: str) -> InvalidRequest:
        return InvalidRequest(
            f"the body is not a JSON object: {wanted} expected at byte {self._window.offset}"
        )


def _end(pattern: re.Pattern[bytes], window: Window) -> int:
    """Where the match from here on ends; the patterns above match anywhere."""
    match = pattern.match(window.held, window.at)
    return window.at if match is None else match.end()


def _text(name: bytes) -> str:
    if b"\\" not in name:
        return name[1:-1].decode(errors="replace")
    try:
        return msgspec.json.decode(name, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""  # no name that anyone looks for

"""Where the values of a query string or an urlencoded form sit (WHATWG URL, application/x-www-form-urlencoded)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_plus

from corral.errors import InvalidRequest
from corral.wire.splice import Found, Span

LIMIT: Final = 4 * 2**20
"""Bytes of a form; unlike a multipart one it is held whole, and has no business to be longer."""

_PAIR: Final = re.compile(rb"([^&=]+)=([^&]*)|[^&]+")


class Pairs:
    """Fed a form, it finds the values of the fields called `names`; a field given again is found again."""

    opened = 0
    """Where another pair may be put."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._text = bytearray()
        self.found: list[Found] = []
        """Wanted values, once the form has ended; `raw` is still percent-encoded."""
        self.empty = True
        """The form has no field at all."""

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size. Raises InvalidRequest for a form that is too long."""
        if len(self._text) + len(piece) > LIMIT:
            raise InvalidRequest("the form is too long; send it as multipart/form-data")
        self._text += piece

    def end(self) -> None:
        """That was all."""
        text = bytes(self._text)
        self.empty = not text
        for match in _PAIR.finditer(text):
            if match[1] is not None and (name := decode(match[1])) in self._names:
                self.found.append(Found(name, match[2], Span(*match.span(2))))


def decode(raw: bytes) -> str:
    """Text of a name or value; bytes that are no UTF-8 become U+FFFD, as the standard has it."""
    return unquote_plus(raw.decode(errors="replace"), errors="replace")


def encode(value: str) -> bytes:
    """A name or value as it stands in a form or a query."""
    return quote(value, safe="").encode()

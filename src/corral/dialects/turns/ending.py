"""Where an event stream tells that it is whole, however it is cut into pieces.

1. Nothing is lost: what comes out, in order, is what went in.
2. A line that may become the one that tells is held back until it is clear: no client can do anything with half a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Parted(NamedTuple):
    """A piece of a stream."""

    before: bytes
    """Goes on."""
    end: bytes
    """From the line that tells, empty as long as there is none."""


class Ending:
    """Looks for a line that begins with one of `ends`, each a field, a colon and a value; a space between them says nothing."""

    def __init__(self, ends: Sequence[bytes]) -> None:
        told = [end.partition(b":") for end in ends]
        self._begins = [
            b"%b:%b%b" % (name, space, value) for name, _, value in told for space in (b"", b" ")
        ]
        self._told = re.compile(rb"[\r\n](?:%b)" % b"|".join(map(re.escape, self._begins)))
        self._held = b""
        """The beginning of a line."""
        self._last = b"\n"
        """The byte before that."""

    def feed(self, piece: bytes, *, more: bool = True) -> Parted:
        """`more`: the stream goes on after it."""
        text = self._last + self._held + piece
        found = self._told.search(text)
        at = found.start() + 1 if found else len(text)
        if found or not more:
            self._last, self._held = text[-1:], b""
            return Parted(text[1:at], text[at:])
        at = self._half(text)
        self._last, self._held = text[at - 1 : at], text[at:]
        return Parted(text[1:at], b"")

    def _half(self, text: bytes) -> int:
        """Where a last line begins that may become one that tells."""
        at = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        line = text[at:]
        whole = not at or not any(begin.startswith(line) for begin in self._begins)
        return len(text) if whole or not line else at

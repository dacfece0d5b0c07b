"""The part of a body that a parser still needs, while the body comes in pieces.

A parser is a generator over a `Window`: it reads `held` from `at` on, and yields where it needs more. What lies before `at` is dropped
with the next piece, unless it is pinned.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

from corral.errors import InvalidRequest
from corral.wire.splice import Found

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""A parser's steps: it yields whenever it needs the next piece, and returns T."""

LIMIT = 16 * 2**10
"""Bytes that may be pinned: a name, a wanted value, a part's headers."""
REPEATS = 16
"""How often wanted values may be given again in one body."""


class Window:
    """Bytes of a body from offset `base` on; `at` is the index of the first one that is not read yet.

    At most `limit` bytes may be pinned, and `wanted` values found, not counting `REPEATS`.
    """

    def __init__(
        self, held: bytes = b"", base: int = 0, *, wanted: int = 0, limit: int = LIMIT
    ) -> None:
        self.held = held
        self.at = 0
        self._base = base
        self._most = wanted + REPEATS
        self._limit = limit
        self._pin: int | None = None
        self.found: list[Found] = []

    @property
    def offset(self) -> int:
        """Where `at` is in the body."""
        return self._base + self.at

    def push(self, piece: bytes) -> None:
        """The next piece of the body. Raises InvalidRequest where what must be held on to is too long."""
        keep = self.at if self._pin is None else self._pin
        self._check(len(self.held) - keep)
        self.held = self.held[keep:] + piece
        self._base += keep
        self.at -= keep
        self._pin = None if self._pin is None else 0

    def pin(self) -> None:
        """Hold on to what comes from here."""
        self._pin = self.at

    def unpin(self) -> bytes:
        """Let go: the bytes from the pin up to here. Raises InvalidRequest if they are too many."""
        start = self.at if self._pin is None else self._pin
        self._check(self.at - start)
        self._pin = None
        return self.held[start : self.at]

    def note(self, found: Found) -> None:
        """A wanted value was found."""
        if len(self.found) == self._most:
            raise InvalidRequest(f"the body gives `{found.name}` too often")
        self.found.append(found)

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise InvalidRequest(
                f"the body has a name, value or header of more than {self._limit} bytes"
            )

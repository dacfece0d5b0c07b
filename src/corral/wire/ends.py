"""The two ends of a text that comes in pieces and may be of any length: all of a short one, the beginning and the end of a long one.

1. A piece costs the same whatever came before it: nothing is copied until somebody asks.
2. At most `2 * END`, and the piece that crosses it, is held.
"""

from __future__ import annotations

from collections import deque

END = 2**16
"""Bytes kept of each end."""


class Ends:
    """`feed` it the pieces; then `head` and `tail`, the latter empty as long as `head` is all there is."""

    __slots__ = ("_head", "_room", "_size", "_tail", "cut")

    def __init__(self) -> None:
        self._head: list[bytes] = []
        self._room = 2 * END
        self._tail: deque[bytes] = deque()
        self._size = 0
        self.cut = False
        """It is kept as two ends; what was between them is gone."""

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size."""
        if self.cut:
            self._push(piece)
            return
        self._head.append(piece)
        self._room -= len(piece)
        if self._room < 0:
            self._split()

    @property
    def head(self) -> bytes:
        """The beginning; all of the text when it is not `cut`."""
        return b"".join(self._head)

    @property
    def tail(self) -> bytes:
        """The end, at least `END` bytes of it when the text is `cut`."""
        return b"".join(self._tail)

    def _split(self) -> None:
        """It has become too long to be kept whole."""
        whole = b"".join(self._head)
        self._head = [whole[:END]]
        self.cut = True
        self._push(whole[END:])

    def _push(self, piece: bytes) -> None:
        self._tail.append(piece[-2 * END :])
        self._size += len(self._tail[-1])
        while self._size - len(self._tail[0]) >= END:
            self._size -= len(self._tail.popleft())

"""A bounded ring of output, and those who follow it.

1. Writing never waits: neither for the disk (there is none) nor for a follower.
2. A follower who is slow loses the oldest pieces, and reads how many bytes that were.
3. A follower who is forgotten (no longer referenced) is gone; nobody has to unsubscribe.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

RING_BYTES = 100 * 1024
FOLLOWER_BYTES = 256 * 1024


class Sink(Protocol):
    """Where bytes may go."""

    def write(self, piece: bytes) -> None: ...


class Ring:
    """The last `limit` bytes that were written, and a live view for any number of followers. What is written also goes `into` a sink."""

    def __init__(self, limit: int = RING_BYTES, *, into: Sink | None = None) -> None:
        self._limit = limit
        self._into = into
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self.closed = False
        self.total = 0
        """Bytes written so far: a mark for `tail(since=)`."""

    def __repr__(self) -> str:
        return f"<Ring {self._held}/{self._limit} bytes, {len(self._followers)} following>"

    def write(self, piece: bytes) -> None:
        """Add a piece; the oldest bytes leave when the ring is full."""
        if not piece or self.closed:
            return
        self.total += len(piece)
        self._keep(piece[-self._limit :])
        for follower in list(self._followers):
            follower.feed(piece)
        if self._into:
            self._into.write(piece)

    def history(self) -> bytes:
        """What the ring holds, oldest first."""
        return b"".join(self._pieces)

    def tail(self, lines: int, since: int = 0) -> tuple[str, ...]:
        """The last non-empty lines, oldest first, of what was written after `total` was `since`."""
        held = self.history()
        recent = held[max(0, len(held) - (self.total - since)) :]
        texts = recent.decode("utf-8", "replace").splitlines()
        return tuple([text.rstrip() for text in texts if text.strip()][-lines:] if lines else ())

    def follow(self) -> AsyncIterator[bytes]:
        """What comes from this call on; ends when the ring is closed."""
        follower = Follower()
        if self.closed:
            follower.end()
        self._followers.add(follower)
        return follower

    def close(self) -> None:
        """Keep the history, end every follower."""
        self.closed = True
        for follower in list(self._followers):
            follower.end()

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        while self._held > self._limit:
            oldest = self._pieces.popleft()
            excess = self._held - self._limit
            if len(oldest) > excess:
                self._pieces.appendleft(oldest[excess:])
            self._held -= min(len(oldest), excess)


class Follower:
    """One reader's place: holds at most `limit` bytes that were not yet read."""

    def __init__(self, limit: int = FOLLOWER_BYTES) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._lost = 0
        self._ended = False
        self._news = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._notice() if self._lost else self._take()

    def feed(self, piece: bytes) -> None:
        """Hold the piece until it is read, letting go of older ones when there is no room."""
        self._pieces.append(piece)
        self._held += len(piece)
        while self._held > self._limit and len(self._pieces) > 1:
            self._lost += len(self._take())
        self._news.set()

    def end(self) -> None:
        """Let the reader finish what is held, then stop."""
        self._ended = True
        self._news.set()

    def _take(self) -> bytes:
        piece = self._pieces.popleft()
        self._held -= len(piece)
        return piece

    def _notice(self) -> bytes:
        lost, self._lost = self._lost, 0
        return b"\n[corral: %d bytes of output left out for a slow reader]\n" % lost

"""One stream of messages, any number of readers.

1. Publishing never waits: neither for a reader nor for the loop.
2. A reader who is slow costs a bounded number of bytes. What it has not read by then is dropped, and it goes on with a fresh snapshot,
   made when it reads on.
3. A reader hears something at least every `HEARTBEAT` seconds, so that both sides learn when the other is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

HEARTBEAT = 15.0
"""Seconds."""
READER_BYTES = 2**20
"""What one reader may leave unread."""


class Reader:
    """One reader's place: `async for message in reader`, until it is ended."""

    def __init__(
        self,
        snapshot: Callable[[], bytes],
        heartbeat: bytes,
        *,
        limit: int = READER_BYTES,
        every: float = HEARTBEAT,
    ) -> None:
        self._snapshot = snapshot
        self._heartbeat = heartbeat
        self._limit = limit
        self._every = every
        self._messages: deque[bytes] = deque()
        self._held = 0
        self._behind = False
        self._ended = False
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Reader {self._held}/{self._limit} bytes unread>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not (self._messages or self._behind):
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            try:
                async with asyncio.timeout(self._every):
                    await self._news.wait()
            except TimeoutError:
                return self._heartbeat
        if self._behind:
            self._behind = False
            return self._snapshot()
        message = self._messages.popleft()
        self._held -= len(message)
        return message

    def feed(self, message: bytes) -> None:
        """Hold the message until it is read. When there is no room for it all that is held is let go, and the snapshot stands for it."""
        self._messages.append(message)
        self._held += len(message)
        if self._held > self._limit and len(self._messages) > 1:
            self._messages.clear()
            self._held = 0
            self._behind = True
        self._news.set()

    def end(self) -> None:
        """Let the reader finish what is held, then stop."""
        self._ended = True
        self._news.set()


class Broadcast:
    """Publishes to all its readers."""

    def __init__(self) -> None:
        self.readers: set[Reader] = set()

    def __len__(self) -> int:
        return len(self.readers)

    def join(self, reader: Reader) -> None:
        self.readers.add(reader)

    def leave(self, reader: Reader) -> None:
        self.readers.discard(reader)

    def publish(self, message: bytes) -> None:
        for reader in self.readers:
            reader.feed(message)

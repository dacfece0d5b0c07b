"""Writing to a stream whose reader may have stopped reading: a terminal on hold, a full pipe.

1. Writing never waits. What the reader does not take is held, up to `LIMIT` bytes; beyond that it is left out, and counted.
2. What was written comes out in order, in pieces as large as the reader takes them.
3. Leaving waits a bounded time for what is held.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial

LIMIT = 2**20
"""Bytes held for a reader."""
GATHERING = 0.01
"""Seconds in which more may come before the thread writes: a busy corral is not to switch threads with every line."""
PATIENCE = 2.0
"""Seconds that leaving waits for the reader."""

Write = Callable[[bytes | memoryview], int]


class Printer:
    """Writes with `write`, in a thread of its own; stdout unless another is given. Where there is none, nothing happens."""

    def __init__(self, write: Write | None = None, *, limit: int = LIMIT) -> None:
        self._write = write or _stdout()
        self._limit = limit
        self._lock = threading.Lock()
        self._held: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.broken = self._write is None
        """Nobody will ever read it."""

    def __repr__(self) -> str:
        return f"<Printer: {self._size} bytes held>"

    def write(self, piece: bytes) -> None:
        """From any thread."""
        if self.broken or not piece:
            return
        with self._lock:
            if self._size + len(piece) > self._limit:
                self._lost += len(piece)
                return
            self._held.append(piece)
            self._size += len(piece)
            if self._thread is None:
                self._thread = threading.Thread(target=self._print, name="printer", daemon=True)
                self._thread.start()
        self._news.set()

    def close(self, seconds: float = PATIENCE) -> None:
        """Wait for what is held to be read, for so long."""
        self._closing.set()
        self._news.set()
        if self._thread:
            self._thread.join(seconds)

    def _print(self) -> None:
        while not self.broken:
            self._news.wait()
            self._closing.wait(GATHERING)
            self._news.clear()
            leaving = self._closing.is_set()
            self._out(self._taken())
            if leaving and not self._held:
                return

    def _taken(self) -> bytes:
        with self._lock:
            piece = b"".join(self._held)
            if self._lost:
                piece += b"\n[corral: %d bytes of output left out: nobody read them]\n" % self._lost
            self._held.clear()
            self._size = self._lost = 0
        return piece

    def _out(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest and self._write:
            try:
                rest = rest[self._write(rest) :]
            except BlockingIOError:  # somebody made it non-blocking
                self._closing.wait(GATHERING)
            except OSError:
                self.broken = True
                return


def _stdout() -> Write | None:
    """Past Python's buffer, which would be tried once more at exit when the reader has gone."""
    try:
        return partial(os.write, sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return None

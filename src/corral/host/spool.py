"""A request body on disk instead of in memory.

1. The temporary file has no name: it is gone with its last user, also after a crash.
2. A body over its limit is refused as soon as that is known, and costs no more than the limit.
3. The loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from corral.errors import BodyTooLarge, CorralError

# Bytes per visit to a disk thread: 1 GB is a thousand visits, not sixteen thousand.
PIECE = 2**20


class Spool:
    """A body that is fed piece by piece, then read as often as needed. At most `limit` bytes.

    `folder` should be on a disk: a system's temporary folder often is memory. Close it, or forget it. Raises CorralError when there can be
    no file.
    """

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self._limit = limit
        self._held = bytearray()
        self._size = 0
        self._lock = threading.Lock()
        self._file = _file(folder)
        self._finalizer = weakref.finalize(self, self._file.close)

    def __repr__(self) -> str:
        return f"<Spool {self._size}/{self._limit} bytes>"

    @property
    def size(self) -> int:
        """Bytes fed so far."""
        return self._size

    async def feed(self, chunk: bytes) -> None:
        """Add a piece. Raises BodyTooLarge, and CorralError when the disk does not take it."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise BodyTooLarge(
                f"the body is larger than {self._limit} bytes; raise `maxBody` if it should be served"
            )
        self._held += chunk
        if len(self._held) >= PIECE:
            held, self._held = self._held, bytearray()
            try:
                await asyncio.to_thread(self._file.write, held)
            except OSError as error:
                raise _unkept(error) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes from the start, each time it is called, in pieces of about 1 MiB. Only after the last `feed`."""
        offset = 0
        while piece := await asyncio.to_thread(self._read, offset):
            offset += len(piece)
            yield piece
        if self._held:
            yield bytes(self._held)

    def close(self) -> None:
        """Let go of the file now."""
        with contextlib.suppress(OSError):  # the disk is full, which `feed` has said
            self._finalizer()

    def _read(self, offset: int) -> bytes:
        with self._lock:  # two readers share one file position
            self._file.seek(offset)
            return self._file.read(PIECE)


def _file(folder: Path | None) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _unkept(error) from error


def _unkept(error: OSError) -> CorralError:
    return CorralError(
        f"a body that is too big for memory cannot be kept on disk: {error.strerror}"
    )

"""Conversations in corral's database. Fits `gateway.stores.Conversations`.

1. A turn is on the disk when `append` returns with no reason: one transaction, synced. A head that is begun outlives corral, not the
   machine: there is nothing to lose yet.
2. What cannot be written (disk full, file locked, no answer) waits in memory and is written before anything else is, as soon as the file
   takes it; readers see it meanwhile, all but the list of sessions. `trouble` says so, until it is written.
3. Messages are numbered on from the last one that is there, whatever `after` says: nothing is overwritten, and there are no gaps. The
   two differ only when others wrote to the file, or somebody removed it.
4. A change other than an addition that cannot be written is not made: `fork`, `patch` and `delete` are False then.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from corral.host import conversation_rows as rows
from corral.host import storage
from corral.host.storage import Storage, is_unreadable
from corral.host.unwritten import Addition, Unwritten
from corral.sessions.record import Head, Record

T = TypeVar("T")

Blobs = Mapping[str, bytes]

PAUSE = 60.0
"""Seconds between two looks at what waits to be written, or deleted."""
AT_ONCE = 50
"""Sessions that one transaction deletes: others wait meanwhile."""

log = logging.getLogger("corral.conversations")


class Conversations:
    """The conversations in one storage."""

    def __init__(self, stored: Storage) -> None:
        self._storage = stored
        self._unwritten = Unwritten()
        self._trouble = ""
        self._stuck = False
        """The last write failed. Of the database's thread."""

    def __repr__(self) -> str:
        return f"<Conversations in {self._storage.path}, {len(self._unwritten)} unwritten>"

    @property
    def trouble(self) -> str:
        return self._trouble

    # --- reading -----------------------------------------------------------------------------------------------

    async def head(self, session_id: str) -> Head | None:
        return await self._read(partial(self._head, session_id), None)

    async def newest(self, session_id: str, size: int, count: int) -> list[Record]:
        nothing: list[Record] = []
        return await self._read(partial(self._newest, session_id, size, count), nothing)

    async def digests(self, session_id: str) -> list[bytes]:
        nothing: list[bytes] = []
        return await self._read(partial(self._digests, session_id), nothing)

    async def by_response(self, response_id: str) -> tuple[str, int] | None:
        return await self._read(partial(self._by_response, response_id), None)

    async def blobs(self, hashes: Collection[str]) -> Blobs:
        nothing: Blobs = {}
        return await self._read(partial(self._blobs, tuple(hashes)), nothing)

    async def page(self, limit: int, offset: int) -> tuple[int, list[Head]]:
        return await self._read(partial(rows.page, limit, offset), (0, []))

    async def messages(self, session_id: str, after: int, limit: int) -> list[Record]:
        nothing: list[Record] = []
        return await self._read(partial(self._messages, session_id, after, limit), nothing)

    # --- writing -----------------------------------------------------------------------------------------------

    async def begin(self, head: Head) -> str:
        return await self._add(Addition(head))

    async def append(
        self, session_id: str, after: int, records: Sequence[Record], blobs: Blobs, head: Head
    ) -> str:
        """`blobs` are all that the records refer to, those too that are stored already."""
        del session_id, after  # the head has the one, the file knows the other
        return await self._add(Addition(head, tuple(records), dict(blobs)))

    async def fork(self, session_id: str, new_id: str, at: int) -> bool:
        """False also when there is a session `new_id`."""
        return await self._change(partial(rows.fork, session_id, new_id, at, time.time()), False)

    async def cut(self, session_id: str, at: int, keep_as: str) -> None:
        await self._change(partial(rows.cut, session_id, at, keep_as), None)

    async def patch(self, head: Head) -> bool:
        return await self._change(partial(rows.patch, head), False)

    async def delete(self, session_id: str) -> bool:
        return await self._change(partial(rows.delete, session_id), False)

    async def undo(self, session_id: str) -> bool:
        return await self._change(partial(rows.undo, session_id), False)

    async def expire(self, before: float) -> int:
        gone = 0
        while some := await self._change(partial(rows.expire, before, AT_ONCE), 0):
            gone += some
        return gone

    # --- looking after it ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def kept(self, ttl: Callable[[], float]) -> AsyncIterator[Self]:
        """While the scope lasts, what could not be written is tried again, and what was last used more than `ttl()` seconds ago deleted
        (0: nothing is), at once and every `PAUSE` seconds. The last try is when it is left. The file is its owner's alone."""
        if self._storage.path:
            self._storage.tell(partial(_close_to_others, self._storage.path))
        looking = asyncio.get_running_loop().create_task(self._look(ttl), name="conversations")
        try:
            yield self
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            if len(self._unwritten):
                await self._written()

    async def _look(self, ttl: Callable[[], float]) -> None:
        while True:
            await self._written()
            if age := ttl():
                await self.expire(time.time() - age)
            await asyncio.sleep(PAUSE)

    async def _add(self, addition: Addition) -> str:
        if not self._unwritten.add(addition):
            await self._written()
            if not self._unwritten.add(addition):
                return self._told(f"{self._storage.path}: {_NO_ROOM}")
        return await self._written()

    async def _written(self) -> str:
        """Why not all of it could be. Whoever waits may go away: it is written all the same."""
        writing = asyncio.wrap_future(self._storage.tell(self._write))
        writing.add_done_callback(_looked_at)
        done, _ = await asyncio.wait({writing}, timeout=storage.PATIENCE)
        if not done or writing.exception():
            return self._told(self._waits(_SILENT))
        return self._told(writing.result().trouble)

    async def _change(self, change: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Make it, behind what still has to be written."""

        def job(connection: sqlite3.Connection) -> tuple[str, T]:
            written = self._write(connection)
            if not written.all_of_it:
                return written.trouble, otherwise
            try:
                with rows.transaction(connection):
                    return written.trouble, change(connection)
            except sqlite3.OperationalError as error:
                return f"{self._storage.path}: {error}", otherwise

        trouble, result = await self._storage.ask(job, (self._silent, otherwise))
        self._told(trouble)
        return result

    async def _read(self, job: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        def one(connection: sqlite3.Connection) -> tuple[str, T]:
            try:
                return "", job(connection)
            except sqlite3.OperationalError as error:
                return f"{self._storage.path}: {error}", otherwise

        trouble, found = await self._storage.ask(one, (self._silent, otherwise))
        if trouble:
            self._told(trouble)
        return found

    @property
    def _silent(self) -> str:
        return f"{self._storage.path}: {_SILENT}"

    def _waits(self, reason: str) -> str:
        return f"{self._storage.path}: {reason}; {_WAITS}"

    def _told(self, trouble: str) -> str:
        """In the log when it is news; of a database in memory there is a line already."""
        if trouble not in ("", self._trouble, self._unkept):
            log.warning("conversations: %s", trouble)
        self._trouble = trouble
        return trouble

    # --- in the database's thread --------------------------------------------------------------------------------

    def _write(self, connection: sqlite3.Connection) -> _Written:
        """All that is to be written. A file that was locked is waited for once: reads come after this, and turns wait for them."""
        with rows.patient(0 if self._stuck else storage.LOCKED, connection):
            written = self._write_each(connection)
        self._stuck = not written.all_of_it
        return written

    def _write_each(self, connection: sqlite3.Connection) -> _Written:
        """Oldest first, each in a transaction of its own."""
        lost = ""
        while (addition := self._unwritten.first()) is not None:
            try:
                with rows.transaction(connection, synced=bool(addition.records)):
                    rows.add(addition.head, addition.records, addition.blobs, connection)
            except sqlite3.OperationalError as error:
                # Full, locked, read-only: it is as good later.
                return _Written(self._waits(str(error)), all_of_it=False)
            except Exception as error:
                if is_unreadable(error):
                    raise
                lost = f"{self._storage.path}: {error}; {_LOST}"  # it must not keep the others
            self._unwritten.drop_first()
        return _Written(lost or self._unkept)

    @property
    def _unkept(self) -> str:
        return f"{self._storage.unkept}; {_IN_MEMORY}" if self._storage.unkept else ""

    def _head(self, session_id: str, connection: sqlite3.Connection) -> Head | None:
        found = rows.head(session_id, connection)
        for addition in self._unwritten.of(session_id):
            found = addition.onto(found)
        return found

    def _newest(
        self, session_id: str, size: int, count: int, connection: sqlite3.Connection
    ) -> list[Record]:
        found = self._unwritten.newest(session_id, size, count)
        left = size - sum(record.size for record in found)
        return [*rows.newest(session_id, left, count - len(found), connection), *found]

    def _digests(self, session_id: str, connection: sqlite3.Connection) -> list[bytes]:
        waiting = (record.digest for record in self._unwritten.records(session_id))
        return [*rows.digests(session_id, connection), *waiting]

    def _messages(
        self, session_id: str, after: int, limit: int, connection: sqlite3.Connection
    ) -> list[Record]:
        found = rows.messages(session_id, after, limit, connection)
        waiting = self._unwritten.records(session_id)
        if not waiting:
            return found
        begin = max(0, after - rows.count(session_id, connection))
        return [*found, *waiting[begin:]][: max(0, limit)]

    def _by_response(
        self, response_id: str, connection: sqlite3.Connection
    ) -> tuple[str, int] | None:
        waiting = self._unwritten.answer(response_id)
        if waiting is None:
            return rows.by_response(response_id, connection)
        session_id, number = waiting
        return session_id, rows.count(session_id, connection) + number

    def _blobs(self, hashes: Collection[str], connection: sqlite3.Connection) -> Blobs:
        return rows.blobs(hashes, connection) | self._unwritten.blobs(hashes)


class _Written(NamedTuple):
    trouble: str
    all_of_it: bool = True


def _close_to_others(path: Path, _: sqlite3.Connection) -> None:
    storage.close_to_others(path)


def _looked_at(writing: asyncio.Future[_Written]) -> None:
    """Else asyncio complains of what came too late for anybody to look."""
    if not writing.cancelled():
        writing.exception()


_SILENT = "the disk does not answer"
_WAITS = "turns are kept in memory until they can be written"
_IN_MEMORY = "conversations are kept in memory, until corral ends"
_NO_ROOM = "there is no more room in memory for what cannot be written; a turn is lost"
_LOST = "a turn is lost"

"""Corral's database: what should survive a restart, and is no disaster when it does not.

1. One thread owns the file, and nothing on the loop waits for the disk: `ask` is awaited, for a bounded time; `tell` returns at once.
2. Whatever is wrong with the file or its folder costs what was stored, never a request and never the start, and is said in the log.
   Without a file that can be used there is a database in memory, for as long as corral runs.
3. A file that cannot be read is set aside under another name; one that is gone begins anew; one that a newer corral made is left as it is.
4. `MIGRATIONS` is only ever appended to: a file's `user_version` is how many of them it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
"""What to do with the database, in a transaction of its own. Runs in the database's thread; may run twice."""

FILE = "corral.db"
MEMORY = ":memory:"
MIGRATIONS = (
    """CREATE TABLE load_times (
        model TEXT NOT NULL,
        command TEXT NOT NULL,     -- a hash of how it was launched
        seconds REAL NOT NULL,
        samples INTEGER NOT NULL,
        updated_at REAL NOT NULL,  -- epoch seconds
        PRIMARY KEY (model, command)
    ) WITHOUT ROWID""",
    # Not `activity`, which is what llama-swap calls its own table: a `store` may be a file that llama-swap made.
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,       -- epoch milliseconds; the rest as in the answers that show it
        model TEXT NOT NULL,
        req_path TEXT NOT NULL,
        resp_content_type TEXT NOT NULL,
        resp_status_code INTEGER NOT NULL,
        cache_tokens INTEGER NOT NULL,
        draft_tokens INTEGER NOT NULL,
        draft_acc_tokens INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        prompt_per_second REAL NOT NULL,
        tokens_per_second REAL NOT NULL,
        duration_ms INTEGER NOT NULL,
        error_msg TEXT NOT NULL,
        metadata TEXT NOT NULL     -- a JSON object, or empty
    )""",
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL UNIQUE,
        created_at REAL NOT NULL,  -- epoch seconds, as all times of conversations
        updated_at REAL NOT NULL,
        model TEXT NOT NULL,
        preset TEXT NOT NULL,
        system TEXT NOT NULL,      -- a JSON list of messages
        forked_from TEXT NOT NULL, -- a session_id, or empty
        forked_at INTEGER NOT NULL,
        metadata TEXT NOT NULL     -- a JSON object
    )""",
    "CREATE INDEX sessions_by_use ON sessions (updated_at)",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        number INTEGER NOT NULL CHECK (typeof(number) = 'integer' AND number > 0),  -- from 1, without gaps
        digest BLOB NOT NULL,
        size INTEGER NOT NULL,     -- characters
        at REAL NOT NULL,
        model TEXT NOT NULL,
        prompt_tokens INTEGER,
        answer_tokens INTEGER,
        prompt_from INTEGER NOT NULL,
        partial INTEGER NOT NULL,
        response_id TEXT NOT NULL,
        message TEXT NOT NULL,     -- a JSON object
        UNIQUE (session, number)
    )""",
    "CREATE INDEX messages_by_response ON messages (response_id) WHERE response_id <> ''",
    "CREATE TABLE blobs (hash TEXT PRIMARY KEY, bytes BLOB NOT NULL)",
    """CREATE TABLE blob_uses (
        session INTEGER NOT NULL,
        hash TEXT NOT NULL,
        PRIMARY KEY (session, hash)
    ) WITHOUT ROWID""",
    "CREATE INDEX blob_uses_by_hash ON blob_uses (hash)",
    """CREATE TABLE imports (
        path TEXT NOT NULL,
        digest TEXT NOT NULL,      -- of what was in the file
        at REAL NOT NULL,
        PRIMARY KEY (path, digest)
    ) WITHOUT ROWID""",
)
"""One statement each, in order."""

LOCKED = 2.0
"""Seconds to wait for another program that has the file locked."""
PATIENCE = 5.0
"""Seconds that anybody waits for the database's thread: a disk can take for ever."""
WAITING = 1000
"""Jobs that may wait for the disk; more are lost."""

_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PARTS = ("-wal", "-shm", "")
"""The file itself last: a log of its changes must never stand beside a new one."""
_PRIMARY = 0xFF
"""The part of an extended SQLite result code that says what it is about."""

log = logging.getLogger("corral.storage")


class Lost(Exception):  # noqa: N818 - says what became of a job
    """There is no room for it, or no database at all to do it with."""


class Storage:
    """A scope: one database file, open until it is left. With None there is no file, and nothing outlives the scope."""

    def __init__(self, path: Path | None, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        self.unkept = ""
        """Why nothing outlives the scope, if so; one line."""
        self._migrations = migrations
        self._jobs: queue.Queue[tuple[Job[Any], Future[Any]] | None] = queue.Queue(WAITING)
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"<Storage {self.path}, {self._jobs.qsize()} jobs waiting>"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended.set_running_or_notify_cancel()  # whoever waits no longer leaves it as it is
        # A daemon, for a disk that never answers must not keep the process.
        threading.Thread(target=self._work, name="storage", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was told is on the disk when this returns, or the disk has taken longer than `PATIENCE`."""
        try:
            self._jobs.put_nowait(None)
            await asyncio.wait_for(asyncio.wrap_future(self._ended), PATIENCE)
        except (TimeoutError, queue.Full):
            log.warning("%s: the disk does not answer; what came last may be lost", self.path)

    async def ask(self, job: Job[T], otherwise: T) -> T:
        """What `job` returns; `otherwise` when there is no answer to be had (the log says why)."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.tell(job)), PATIENCE)
        except TimeoutError:
            log.warning("%s: the disk does not answer; going on without what is there", self.path)
        except (sqlite3.Error, Lost):
            pass  # said already, where it happened
        return otherwise

    def tell(self, job: Job[T]) -> Future[T]:
        """Have `job` done; nobody has to wait for it. What it raises is in the log already; Lost when too many jobs wait."""
        answer: Future[T] = Future()
        try:
            self._jobs.put_nowait((job, answer))
        except queue.Full:
            answer.set_exception(Lost())
        return answer

    # --- in the database's thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            connection = self._opened()
            while (wish := self._jobs.get()) is not None:
                job, answer = wish
                if answer.set_running_or_notify_cancel():
                    connection = self._done(job, answer, self._at_hand(connection))
            if connection:
                connection.close()
        finally:
            self._ended.set_result(None)

    def _at_hand(self, connection: sqlite3.Connection | None) -> sqlite3.Connection | None:
        """The connection to go on with: what is written to a file that somebody has removed, nobody finds again."""
        if (
            connection is None
            or self.path is None
            or os.access(self.path, os.F_OK)
            or not is_kept(connection)
        ):
            return connection
        self._say("%s: somebody has removed it; a new one begins", self.path)
        connection.close()
        return self._opened()

    def _done(
        self, job: Job[T], answer: Future[T], connection: sqlite3.Connection | None
    ) -> sqlite3.Connection | None:
        """Answer; returns the connection to go on with: a new one when the file turned out to be unreadable."""
        for again in (True, False):
            try:
                answer.set_result(_within(connection, job))
            except Exception as error:  # noqa: BLE001 - it costs this job, not the thread
                if again and connection and is_unreadable(error):
                    connection.close()
                    connection = self._replaced(error)
                    continue
                if connection:
                    self._say("%s: %s; this was not stored", self.path, error)
                answer.set_exception(error)
            break
        return connection

    def _opened(self) -> sqlite3.Connection | None:
        """The file, brought up to date; the memory when it cannot be used."""
        if self.path is None:
            return self._in_memory(_NO_FOLDER)
        try:
            return _open(self.path, self._migrations)
        except sqlite3.Error as error:
            if is_unreadable(error):
                return self._replaced(error)
            self._say(_WITHOUT, self.path, error)
            return self._in_memory(f"{self.path}: {error}")

    def _in_memory(self, why: str) -> sqlite3.Connection | None:
        """A database in memory; None when not even that can be had."""
        self.unkept = why
        try:
            return _open(MEMORY, self._migrations)
        except sqlite3.Error as error:
            self._say("nothing can be remembered: %s", error)
        return None

    def _replaced(self, error: Exception) -> sqlite3.Connection | None:
        """A new file where there was one that cannot be read."""
        if self.path is None:
            return self._in_memory(_NO_FOLDER)
        try:
            aside = _set_aside(self.path)
            self._say("%s: %s; it is now %s, and a new one begins", self.path, error, aside.name)
            return _open(self.path, self._migrations)
        except (sqlite3.Error, OSError) as other:
            self._say(_WITHOUT, self.path, other)
            return self._in_memory(f"{self.path}: {other}")

    def _say(self, message: str, *about: object) -> None:
        """In the loop's thread: whoever follows the log is there."""
        with suppress(RuntimeError):  # the loop has been closed: nobody listens any more
            self._loop.call_soon_threadsafe(partial(log.warning, message, *about))


_NO_FOLDER = "there is no folder for what corral should remember"
_WITHOUT = "%s: %s; corral goes on without it, and forgets with its end what it learns"


def is_kept(connection: sqlite3.Connection) -> bool:
    """What is written there outlives corral."""
    ((_, _, file), *_) = connection.execute("PRAGMA database_list")
    return bool(file)


def _open(path: Path | str, migrations: Sequence[str]) -> sqlite3.Connection:
    """SQLite itself does not wait when two programs open a new file at the same time."""
    until = time.monotonic() + LOCKED
    while True:
        try:
            return _open_now(path, migrations)
        except sqlite3.Error as error:
            if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _open_now(path: Path | str, migrations: Sequence[str]) -> sqlite3.Connection:
    if isinstance(path, Path):
        _make(path)
    connection = sqlite3.connect(path, timeout=LOCKED)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """A new file is its owner's alone, and so is what SQLite makes beside it; one that is there stays as it is."""
    with suppress(OSError):  # SQLite says it better
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def close_to_others(path: Path) -> None:
    """From now on only their owner reads this file and what is beside it."""
    for part in _PARTS:
        with suppress(OSError):  # not there, or not ours
            Path(f"{path}{part}").chmod(0o600)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """All in one transaction: a file has seen them all, or is as it was. One that has is only read: somebody may be writing to it."""
    if _seen(connection) == len(migrations):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        seen = _seen(connection)
        if seen > len(migrations):
            raise sqlite3.NotSupportedError("a newer corral made it")
        for statement in migrations[seen:]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _seen(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as found:
        return int(found.fetchone()[0])


def _within(connection: sqlite3.Connection | None, job: Job[T]) -> T:
    if connection is None:
        raise Lost
    with connection:
        return job(connection)


def is_unreadable(error: Exception) -> bool:
    return _primary(error) in _UNREADABLE


def _primary(error: Exception) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY


def _set_aside(path: Path) -> Path:
    """Only the last one is kept. Raises OSError."""
    aside = path.with_name(path.name + ".unreadable")
    for part in _PARTS:
        with suppress(FileNotFoundError):
            Path(f"{path}{part}").replace(f"{aside}{part}")
    return aside

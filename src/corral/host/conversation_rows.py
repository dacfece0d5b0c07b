"""Conversations in a database: the SQL behind `host/conversations.py`. Every function runs in the database's thread.

1. Messages are numbered on from the last one that is there. What is there is never overwritten, whoever else writes to the file.
2. A blob stays for as long as a session that used it does.
3. Of a session that is there a turn changes who answered last, the system prompt and the time; never what people have set (`patch`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from corral.host.columns import as_text, head_of, json_of, record_of, row_of, text
from corral.sessions.record import Head, Record

Blobs = Mapping[str, bytes]

_HEAD = """
    SELECT CAST(session_id AS BLOB), created_at, updated_at, CAST(model AS BLOB), CAST(preset AS BLOB),
           CAST(system AS BLOB), (SELECT max(number) FROM messages WHERE session = sessions.id),
           CAST(forked_from AS BLOB), forked_at, CAST(metadata AS BLOB)
    FROM sessions """  # as bytes: text that is no UTF-8 would fail the whole read
_PUT_HEAD = """
    INSERT INTO sessions
    (session_id, created_at, updated_at, model, preset, system, forked_from, forked_at, metadata)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (session_id) DO UPDATE SET updated_at = excluded.updated_at"""
_SAID = ", model = excluded.model, system = excluded.system"
_RECORDS = """
    SELECT digest, size, at, CAST(model AS BLOB), prompt_tokens, answer_tokens, prompt_from, partial,
           CAST(response_id AS BLOB), CAST(message AS BLOB)
    FROM messages WHERE session = (SELECT id FROM sessions WHERE session_id = ?) """
_COPIED = "digest, size, at, model, prompt_tokens, answer_tokens, prompt_from, partial, response_id, message"
_PUT_RECORD = f"INSERT INTO messages (session, number, {_COPIED}) VALUES (?, ?{', ?' * 10})"  # noqa: S608 - constants
_COPY = f"""
    INSERT INTO messages (session, number, {_COPIED})
    SELECT ?, number, {_COPIED} FROM messages WHERE session = ? AND number <= ? ORDER BY number"""  # noqa: S608 - constants


# --- reading -------------------------------------------------------------------------------------------------------


def head(session_id: str, connection: sqlite3.Connection) -> Head | None:
    row = connection.execute(_HEAD + "WHERE session_id = ?", (text(session_id),)).fetchone()
    return head_of(row) if row else None


def page(limit: int, offset: int, connection: sqlite3.Connection) -> tuple[int, list[Head]]:
    (total,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
    rows = connection.execute(
        _HEAD + "ORDER BY updated_at DESC, id DESC LIMIT ? OFFSET ?", (limit, offset)
    )
    return total, [head_of(row) for row in rows]


def newest(session_id: str, size: int, count: int, connection: sqlite3.Connection) -> list[Record]:
    """By the index from the end, and no further than is asked for."""
    found: list[Record] = []
    read = connection.execute(
        _RECORDS + "ORDER BY number DESC LIMIT ?", (text(session_id), max(count, 0))
    )
    with closing(read):
        while size > 0 and (row := read.fetchone()):
            found.append(record_of(row))
            size -= found[-1].size
    return found[::-1]


def messages(
    session_id: str, after: int, limit: int, connection: sqlite3.Connection
) -> list[Record]:
    rows = connection.execute(
        _RECORDS + "AND number > ? ORDER BY number LIMIT ?", (text(session_id), after, limit)
    )
    return [record_of(row) for row in rows]


def digests(session_id: str, connection: sqlite3.Connection) -> list[bytes]:
    """All in one value: SQLite gives the interpreter up at each row, and there may be 100 000. A message that is missing has none."""
    ((rows, last, found),) = connection.execute(
        """SELECT count(*), max(number), group_concat(number || ' ' || hex(digest)) FROM (
               SELECT number, digest FROM messages
               WHERE session = (SELECT id FROM sessions WHERE session_id = ?) ORDER BY number)""",
        (text(session_id),),
    )
    if not rows:
        return []
    all_of_them = [b""] * last
    for pair in found.split(","):
        number, digest = pair.split(" ")
        all_of_them[int(number) - 1] = bytes.fromhex(digest)
    return all_of_them


def count(session_id: str, connection: sqlite3.Connection) -> int:
    ((last,),) = connection.execute(
        "SELECT max(number) FROM messages WHERE session = (SELECT id FROM sessions WHERE session_id = ?)",
        (text(session_id),),
    )
    return last or 0


def by_response(response_id: str, connection: sqlite3.Connection) -> tuple[str, int] | None:
    """In the session that it was given in, as long as there is that one; else in a copy."""
    row = connection.execute(
        """SELECT CAST(session_id AS BLOB), number FROM messages JOIN sessions ON sessions.id = session
           WHERE response_id = ? AND response_id <> '' ORDER BY messages.id LIMIT 1""",
        (text(response_id),),
    ).fetchone()
    return (as_text(row[0]), row[1]) if row else None


def blobs(hashes: Collection[str], connection: sqlite3.Connection) -> dict[str, bytes]:
    found = {}
    for name in hashes:
        row = connection.execute("SELECT bytes FROM blobs WHERE hash = ?", (text(name),)).fetchone()
        if row and isinstance(row[0], bytes):
            found[name] = row[0]
    return found


# --- writing -------------------------------------------------------------------------------------------------------


@contextmanager
def patient(seconds: float, connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, nobody waits longer than that for another program that has the file locked."""
    ((before,),) = connection.execute("PRAGMA busy_timeout")
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


@contextmanager
def transaction(connection: sqlite3.Connection, *, synced: bool = True) -> Iterator[None]:
    """What is done inside is done together; on the disk when this is left, or else at least beyond corral's own end.

    The rest of the database is not synced. SQLite heeds the pragma between transactions only.
    """
    connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
    try:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")


def add(
    head: Head, records: Sequence[Record], blobs: Blobs, connection: sqlite3.Connection
) -> None:
    """The head, the next messages, and the blobs that they refer to. Without messages, it is but used."""
    session = _put_head(head, connection, _SAID if records else "")
    last = _last(session, connection)
    connection.executemany(
        _PUT_RECORD,
        (row_of(session, number, record) for number, record in enumerate(records, last + 1)),
    )
    for name, data in blobs.items():
        connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (text(name), data))
        connection.execute("INSERT OR IGNORE INTO blob_uses VALUES (?, ?)", (session, text(name)))


def fork(session_id: str, new_id: str, at: int, now: float, connection: sqlite3.Connection) -> bool:
    """False when there is no such session, or a new one of that name."""
    found = head(session_id, connection)
    if found is None or head(new_id, connection):
        return False
    _branch(found, Head(new_id, now, now), min(at, found.messages), connection)
    return True


def cut(session_id: str, at: int, keep_as: str, connection: sqlite3.Connection) -> None:
    found = head(session_id, connection)
    if found is None or at >= found.messages or head(keep_as, connection):
        return
    kept = Head(keep_as, found.created_at, found.updated_at)
    old, new = _branch(found, kept, at, connection)
    connection.execute(
        "UPDATE messages SET session = ? WHERE session = ? AND number > ?", (new, old, at)
    )


def patch(head: Head, connection: sqlite3.Connection) -> bool:
    changed = connection.execute(
        "UPDATE sessions SET preset = ?, system = ?, metadata = ? WHERE session_id = ?",
        (text(head.preset), json_of(head.system), json_of(head.metadata), text(head.session_id)),
    )
    return changed.rowcount > 0


def delete(session_id: str, connection: sqlite3.Connection) -> bool:
    return _delete("session_id = ?", (text(session_id),), connection) > 0


def undo(session_id: str, connection: sqlite3.Connection) -> bool:
    """Delete it as long as it has no messages."""
    empty = "session_id = ? AND NOT EXISTS (SELECT 1 FROM messages WHERE session = sessions.id)"
    return _delete(empty, (text(session_id),), connection) > 0


def expire(before: float, limit: int, connection: sqlite3.Connection) -> int:
    """At most `limit` of them, those that were used longest ago."""
    oldest = "id IN (SELECT id FROM sessions WHERE updated_at < ? ORDER BY updated_at LIMIT ?)"
    return _delete(oldest, (before, limit), connection)


def _branch(found: Head, new: Head, at: int, connection: sqlite3.Connection) -> tuple[int, int]:
    """Make `new` of what is found, with its first `at` messages; both rows' ids."""
    old = _id(found.session_id, connection)
    made = Head(
        new.session_id,
        new.created_at,
        new.updated_at,
        found.model,
        found.preset,
        found.system,
        forked_from=found.session_id,
        forked_at=at,
    )
    session = _put_head(made, connection)
    connection.execute(_COPY, (session, old, at))
    connection.execute(
        "INSERT INTO blob_uses SELECT ?, hash FROM blob_uses WHERE session = ?", (session, old)
    )
    return old, session


def _delete(where: str, values: tuple[Any, ...], connection: sqlite3.Connection) -> int:
    gone = [row for (row,) in connection.execute(f"SELECT id FROM sessions WHERE {where}", values)]  # noqa: S608 - constants
    marks = f"({', '.join('?' * len(gone))})"
    orphans = connection.execute(
        f"SELECT DISTINCT hash FROM blob_uses WHERE session IN {marks}",  # noqa: S608 - question marks
        gone,
    ).fetchall()
    for table, column in (("messages", "session"), ("blob_uses", "session"), ("sessions", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {column} IN {marks}", gone)  # noqa: S608 - constants
    connection.executemany(
        "DELETE FROM blobs WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE hash = ?1)",
        orphans,
    )
    return len(gone)


def _put_head(head: Head, connection: sqlite3.Connection, said: str = "") -> int:
    """Its row's id. `said`: what else a session that is there takes of it."""
    (row,) = connection.execute(
        f"{_PUT_HEAD}{said} RETURNING id",
        (
            text(head.session_id),
            head.created_at,
            head.updated_at,
            text(head.model),
            text(head.preset),
            json_of(head.system),
            text(head.forked_from),
            head.forked_at,
            json_of(head.metadata),
        ),
    ).fetchone()
    return int(row)


def _id(session_id: str, connection: sqlite3.Connection) -> int:
    (row,) = connection.execute(
        "SELECT id FROM sessions WHERE session_id = ?", (text(session_id),)
    ).fetchone()
    return int(row)


def _last(session: int, connection: sqlite3.Connection) -> int:
    (last,) = connection.execute(
        "SELECT max(number) FROM messages WHERE session = ?", (session,)
    ).fetchone()
    return last or 0

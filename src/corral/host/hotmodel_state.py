"""The conversations in hotmodel's `state.json`, which is only ever read.

hotmodel keeps one JSON file: of each session `session_id`, `messages` (role and content), `created_at` and `updated_at`, epoch seconds.
How they are put together differs by version, so all of these are taken: a list, an object by id, either of them under `sessions`.

1. What is no session, or no message, costs itself alone, and is counted.
2. A file that holds nothing of the kind costs one line in the log, never the start.
3. What was in it is taken over once, by its hash: a file that has changed is looked at again. A session that corral has is left as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from corral.host import conversation_rows as rows
from corral.host.storage import Storage
from corral.sessions.record import Head, Message, Record

Filed: TypeAlias = Callable[[Message], tuple[Record, Mapping[str, bytes]]]
"""How a message is kept: with what it refers to."""

log = logging.getLogger("corral.conversations")

_LEADING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Taken:
    """A conversation as it was there."""

    head: Head
    messages: tuple[Message, ...]
    odd: int = 0
    """How many of its messages were none."""


@dataclass(frozen=True, slots=True)
class State:
    """A whole file."""

    sessions: tuple[Taken, ...]
    odd: int
    """How many things in it were neither session nor message."""


class Outcome(NamedTuple):
    """What became of it, for people; empty when there was nothing to do."""

    text: str
    level: int = logging.INFO


def take_over(stored: Storage, path: Path, filed: Filed) -> asyncio.Future[Outcome]:
    """Begin to; what comes next to `stored` finds the conversations there. The outcome is in the log already."""
    taking = asyncio.wrap_future(stored.tell(partial(_take_over, path, filed)))
    taking.add_done_callback(_told)
    return taking


def _told(taking: asyncio.Future[Outcome]) -> None:
    if not taking.cancelled() and not taking.exception() and taking.result().text:
        log.log(taking.result().level, taking.result().text)


# --- in the database's thread --------------------------------------------------------------------------------------


def _take_over(path: Path, filed: Filed, connection: sqlite3.Connection) -> Outcome:
    try:
        return Outcome(_taken_over(path, filed, connection))
    except FileNotFoundError:
        return Outcome("")  # hotmodel has not run here
    except (OSError, ValueError, sqlite3.OperationalError) as error:
        why = f"{path}: {error}; its conversations are not taken over"
        return Outcome(why, logging.WARNING)


def _taken_over(path: Path, filed: Filed, connection: sqlite3.Connection) -> str:
    """All of it in one transaction."""
    data, now = path.read_bytes(), time.time()
    seen = str(path.resolve()), hashlib.sha256(data).hexdigest()
    if connection.execute("SELECT 1 FROM imports WHERE path = ? AND digest = ?", seen).fetchone():
        return ""
    state, there = read(data, now), 0
    with rows.transaction(connection):
        for taken in state.sessions:
            if rows.head(taken.head.session_id, connection):
                there += 1
            else:
                _add(taken, filed, connection)
        connection.execute("INSERT INTO imports VALUES (?, ?, ?)", (*seen, now))
    return f"{path}: {_report(len(state.sessions) - there, there, state.odd)}"


def _add(taken: Taken, filed: Filed, connection: sqlite3.Connection) -> None:
    records: list[Record] = []
    blobs: dict[str, bytes] = {}
    for message in taken.messages:
        record, held = filed(message)
        records.append(replace(record, at=taken.head.updated_at))
        blobs |= held
    rows.add(taken.head, records, blobs, connection)


def _report(new: int, there: int, odd: int) -> str:
    parts = [f"{new} conversations are taken over"]
    if there:
        parts.append(f"{there} were there already")
    if odd:
        parts.append(f"{odd} things in it are neither a conversation nor a message")
    return ", ".join(parts)


# --- the file ------------------------------------------------------------------------------------------------------


def read(data: bytes, now: float) -> State:
    """`now`, epoch seconds, is the time of a session that has none. Raises ValueError."""
    try:
        content = json.loads(data)  # as hotmodel wrote it: lone surrogates and all
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is no JSON: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("sessions"), dict | list):
        content = content["sessions"]
    taken = [_taken(named, value, now) for named, value in _entries(content)]
    sessions = tuple(one for one in taken if one)
    if not sessions and content not in ({}, []):
        raise ValueError("there are no sessions in it")
    return State(sessions, taken.count(None) + sum(one.odd for one in sessions))


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list):
        yield from (("", value) for value in content)


def _taken(named: str, value: Any, now: float) -> Taken | None:
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return None
    session_id = value.get("session_id") or named
    if not isinstance(session_id, str) or not session_id:
        return None
    messages = [message for message in value["messages"] if _is_message(message)]
    created = _time(value.get("created_at"), now)
    head = Head(session_id, created, _time(value.get("updated_at"), created))
    begin = next(
        (n for n, message in enumerate(messages) if message["role"] not in _LEADING), len(messages)
    )
    return Taken(
        replace(head, system=tuple(messages[:begin])),
        tuple(messages[begin:]),
        len(value["messages"]) - len(messages),
    )


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _time(value: Any, otherwise: float) -> float:
    """Epoch seconds; a date as text is taken too."""
    try:
        seconds = datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value
        return float(seconds) if math.isfinite(seconds) else otherwise
    except (TypeError, ValueError, OverflowError, OSError):
        return otherwise

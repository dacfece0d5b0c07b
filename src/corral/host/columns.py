"""Heads and records of conversations as columns of a database, and back.

1. What somebody has written into the file by hand costs that value, never the read: a message that is none becomes a text that says so.
2. Text comes back as bytes, for what is no UTF-8 would fail the whole row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from corral.sessions.record import Head, Message, Record

T = TypeVar("T")

UNREADABLE = "(This message could not be read from corral's database.)"


def text(value: str) -> str:
    """SQLite's text is UTF-8, which has no lone surrogates."""
    return value.encode("utf-8", "backslashreplace").decode()


def json_of(value: object) -> str:
    try:
        return str(msgspec.json.encode(value), "utf-8")
    except UnicodeEncodeError:  # a lone surrogate: only escapes can hold it
        return json.dumps(value, separators=(",", ":"))


def _parsed(data: bytes, kind: type[T], otherwise: Callable[[], T]) -> T:
    for parse in (msgspec.json.decode, json.loads):  # the second one knows of lone surrogates
        try:
            value = parse(data)
        except (ValueError, RecursionError, TypeError):  # TypeError: a NULL
            continue
        return value if isinstance(value, kind) else otherwise()
    return otherwise()


def row_of(session: int, number: int, record: Record) -> tuple[Any, ...]:
    return (
        session,
        number,
        record.digest,
        record.size,
        record.at,
        text(record.model),
        record.prompt_tokens,
        record.answer_tokens,
        record.prompt_from,
        record.partial,
        text(record.response_id),
        json_of(record.message),
    )


def record_of(row: Sequence[Any]) -> Record:
    digest, size, at, model, prompt, answer, begin, partial, response, message = row
    model = as_text(model)
    return Record(
        _message(message, model),
        _as(bytes, digest, b""),
        _as(int, size, 0),
        _as(float, at, 0.0),
        model,
        _as(int, prompt, None),
        _as(int, answer, None),
        _as(int, begin, 1),
        bool(partial),
        as_text(response),
    )


def _message(data: bytes, model: str) -> Message:
    def unreadable() -> Message:
        return {"role": "assistant" if model else "user", "content": UNREADABLE}

    return _parsed(data, dict, unreadable)


def head_of(row: Sequence[Any]) -> Head:
    session_id, created, updated, model, preset, system, last, origin, at, metadata = row
    return Head(
        as_text(session_id),
        _as(float, created, 0.0),
        _as(float, updated, 0.0),
        as_text(model),
        as_text(preset),
        tuple(message for message in _parsed(system, list, list) if isinstance(message, dict)),
        _as(int, last, 0),
        as_text(origin),
        _as(int, at, 0),
        {
            name: value
            for name, value in _parsed(metadata, dict, dict).items()
            if isinstance(value, str)
        },
    )


def as_text(value: object) -> str:
    return str(value, "utf-8", "replace") if isinstance(value, bytes) else ""


def _as(kind: type[Any], value: Any, otherwise: T) -> Any | T:
    """SQLite keeps whatever it is given, and people have editors."""
    return value if isinstance(value, kind) else otherwise

"""Turns that were cut off, as a later prompt has them.

1. Of an answer, what was said, and no call that nobody has answered: its arguments may have been cut in the middle, and a call without a
   result is one that most templates refuse.
2. A question that got no answer at all is one with the next: many templates refuse two messages of the user's in a row. What the user has
   sent in one turn stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from corral.sessions.record import Message, Record


def mended(stored: Sequence[Record], new: Sequence[Message]) -> list[Record]:
    """The stored messages as they can be sent again, each in its place. `new`: what follows them."""
    if not any(record.partial for record in stored):
        return list(stored)
    answered = set(_answered([*(record.message for record in stored), *new]))
    return [_mended(record, answered) if record.partial else record for record in stored]


def in_turn(stored: Sequence[Record], new: Sequence[Message]) -> list[Message]:
    """All of them, as they are sent: law 2. `new` are one turn's, which is later than those stored."""
    messages: list[Message] = []
    last: float | None = None
    timed = [*((record.message, record.at) for record in stored), *((m, None) for m in new)]
    for message, at in timed:
        if messages and at != last and _asks(messages[-1]) and _asks(message):
            messages[-1] = _joined(messages[-1], message)
        else:
            messages.append(message)
        last = at
    return messages


def _asks(message: Message) -> bool:
    return message.get("role") == "user" and isinstance(message.get("content"), str | list)


def _joined(first: Message, then: Message) -> Message:
    one, other = first["content"], then["content"]
    if isinstance(one, str) and isinstance(other, str):
        return {"role": "user", "content": f"{one}\n\n{other}"}
    return {"role": "user", "content": [*_parts(one), *_parts(other)]}


def _parts(content: str | list[Any]) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _mended(record: Record, answered: set[str]) -> Record:
    message = dict(record.message)
    calls = message.pop("tool_calls", None)
    kept = [call for call in calls if _id(call) in answered] if isinstance(calls, list) else []
    if kept:
        message["tool_calls"] = kept
    elif not message.get("content"):
        message["content"] = ""  # roles still take turns
    message.pop("function_call", None)
    return replace(record, message=message)


def _id(call: Any) -> str:
    return str(call.get("id") or "") if isinstance(call, dict) else ""


def _answered(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        if message.get("tool_call_id"):
            yield str(message["tool_call_id"])

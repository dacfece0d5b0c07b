"""A conversation's messages as JSON, sent while they are read.

1. However many there are, a page of them is in memory at a time, and of their images those of one message.
2. What is not whole does not look whole: where messages are missing (the session was deleted meanwhile, the disk does not answer) the answer
   is cut off, without its end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from corral.dialects.turns.own import OWN, public
from corral.errors import NotStored
from corral.gateway.stores import Conversations
from corral.sessions import blobs
from corral.sessions.record import Head, Message, Record

PAGE: Final = 100
"""Messages that are read at a time."""


async def shown(
    store: Conversations, head: Head, about: dict[str, Any], after: int, limit: int
) -> AsyncIterator[bytes]:
    """`about`, and as `messages` those number `after + 1` and on, `limit` at most: each with what corral knows of it as `corral`.

    In the place of inline bytes stands a reference.
    """
    upto = min(head.messages, after + limit)
    numbered = _records(store, head.session_id, after, upto)
    messages = (public(record.message) | {OWN: _about(at, record)} async for at, record in numbered)
    async for piece in _listed(about, messages):
        yield piece


async def exported(store: Conversations, head: Head) -> AsyncIterator[bytes]:
    """The body of a chat request with the whole conversation: the client's own system messages, and all bytes in their places."""
    about = {"model": head.model} if head.model else {}
    async for piece in _listed(about, _replayable(store, head)):
        yield piece


async def lines(store: Conversations, head: Head) -> AsyncIterator[bytes]:
    """The same messages as JSON Lines."""
    async for message in _replayable(store, head):
        yield encoded(message) + b"\n"


def encoded(value: Any) -> bytes:
    """As JSON; half a surrogate pair, of which there is no UTF-8, as a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def _listed(about: dict[str, Any], messages: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    yield encoded(about)[:-1] + (b"," if about else b"") + b'"messages":['
    between = b""
    async for message in messages:
        yield between + encoded(message)
        between = b","
    yield b"]}"


async def _records(
    store: Conversations, session_id: str, after: int, upto: int
) -> AsyncIterator[tuple[int, Record]]:
    while after < upto:
        page = await store.messages(session_id, after, min(PAGE, upto - after))
        if not page:
            raise NotStored(
                f"session {session_id}: message {after + 1} of {upto} is not to be had (any more)"
            )
        for record in page:
            after += 1
            yield after, record


async def _replayable(store: Conversations, head: Head) -> AsyncIterator[Message]:
    for message in head.system:
        yield public(message)
    async for _, record in _records(store, head.session_id, 0, head.messages):
        message = public(record.message)
        if wanted := blobs.hashes(message):
            held = await store.blobs(wanted)
            # In a thread: an image may be large.
            message = await asyncio.to_thread(blobs.attach, message, held)
        yield message


def _about(number: int, record: Record) -> dict[str, Any]:
    """What there is to tell of a message."""
    told = {
        "model": record.model,
        "prompt_tokens": record.prompt_tokens,
        "answer_tokens": record.answer_tokens,
        "partial": record.partial,
        "response_id": record.response_id,
    }
    given = {name: value for name, value in told.items() if value}
    return {"number": number, "at": record.at} | given

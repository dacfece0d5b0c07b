"""How a client of an event stream is told, while it waits for its model, how things go.

1. Whatever is told, the answer that follows reads as if nothing had been: no text of the model's, no event of the answer's own.
2. Where a dialect has no place for that, it is a comment (every reader of event streams passes over those) or the dialect's keep-alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from corral.wire import sse


@dataclass(frozen=True, slots=True)
class Wait:
    """What the pieces of an answer to come say about it: `model` as the client named it, `created` in epoch seconds."""

    id: str
    model: str
    created: int


Tell = Callable[[str, Wait], bytes]
"""A piece of text for people, which may end a line or go on with one, as bytes of the stream."""


def reasoning(text: str, wait: Wait) -> bytes:
    """A chunk of OpenAI's chat, its text in `reasoning_content`: shown by clients, never part of the answer.

    It is complete, for strict readers; but without a role, which comes with the model's own first chunk, for those that add chunks up.
    """
    delta = {"reasoning_content": text}
    chunk = {
        "id": wait.id,
        "object": "chat.completion.chunk",
        "created": wait.created,
        "model": wait.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    return sse.encode(msgspec.json.encode(chunk).decode())


def comment(text: str, wait: Wait) -> bytes:  # noqa: ARG001 - a `Tell`
    """A comment, which no reader shows."""
    return sse.comment(text.strip())


def ping(text: str, wait: Wait) -> bytes:
    """Anthropic's keep-alive, with a comment."""
    return comment(text, wait) + sse.encode('{"type":"ping"}', event="ping")

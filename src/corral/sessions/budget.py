"""How much of a prompt there may be, and how much a message takes of it.

1. A message's size is characters: its role, its texts, its tool calls; an image or a sound counts `MEDIUM`, however many bytes it has. What an
   answer thought does not count: models' templates leave it out of later prompts.
2. A prompt that is exactly at a limit fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from corral.sessions import blobs
from corral.sessions.record import Message

MEDIUM: Final = 4096
"""Characters that an image or a sound counts: 1024 tokens at 4 characters each, a large image's with most vision models."""
TEMPLATE: Final = 4
"""Tokens that a message's role and its marks take, in an estimate."""
REPLY: Final = 1024
"""Tokens that are left for an answer whose request does not say how long it may be; of a small context, a quarter of it."""
_MEDIA: Final = frozenset(
    ("image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "document")
)
_THOUGHTS: Final = ("thinking", "redacted_thinking", "reasoning")


# --- sizes -------------------------------------------------------------------------------------------------------


def size(message: Message) -> int:
    """Characters (law 1)."""
    calls = message.get("tool_calls")
    called = sum(map(_letters, calls)) if isinstance(calls, list) else 0
    return len(str(message.get("role") or "")) + _content(message) + called


def media(message: Message) -> int:
    """How many images, sounds and files there are in it."""
    content = message.get("content")
    return sum(map(_medium, content)) if isinstance(content, list) else 0


def thoughts(message: Message) -> bool:
    """Whether it has parts that are thought, not said."""
    content = message.get("content")
    return isinstance(content, list) and any(map(_thought, content))


def _thought(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type")) in _THOUGHTS


def _content(message: Message) -> int:
    content = message.get("content")
    return sum(map(_part, content)) if isinstance(content, list) else _letters(content)


def _medium(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type")) in _MEDIA


def _part(part: Any) -> int:
    if _medium(part):
        return MEDIUM
    if _thought(part):
        return 0
    text = part.get("text") if isinstance(part, dict) else None
    return len(text) if isinstance(text, str) else _letters(part)


def _letters(value: Any, depth: int = blobs.DEEPEST) -> int:
    """Of all texts in it."""
    if isinstance(value, str):
        return len(value)
    if not depth or not isinstance(value, dict | list):
        return 0
    if isinstance(value, list):
        return sum(_letters(item, depth - 1) for item in value)
    return sum(_letters(item, depth - 1) for item in value.values())


def estimate(characters: int, chars_per_token: float) -> int:
    """Tokens of a message of this size: one at least, and its part of the template."""
    return max(1, math.ceil(characters / chars_per_token)) + TEMPLATE


# --- limits ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What a prompt may hold at most; None: any amount."""

    messages: int | None = None
    """Without the system prompt. A turn of more messages than that is not cut, and is no error."""
    characters: int | None = None
    tokens: int | None = None
    """History is dropped until it fits into so many."""
    ceiling: int | None = None
    """More than so many tokens are refused: `tokens`, or more when part of what is kept free for the reply may be given up."""


def limits(
    messages: int | None = None,
    characters: int | None = None,
    tokens: int | None = None,
    *,
    context: int | None = None,
    reply: int | None = None,
) -> Limits:
    """The configured limits, and what `context`, the tokens that the model takes for prompt and answer together, leaves of them.

    `reply`: tokens that the answer may have, by the request.
    """
    if not context:
        return Limits(messages, characters, tokens, tokens)
    at_most = tokens if tokens is not None else context
    room = context - reply_room(context, reply)
    return Limits(messages, characters, min(at_most, room), min(at_most, context - 1))


def reply_room(context: int, reply: int | None) -> int:
    """Tokens of the context that are left for the answer: what it may have, but half of the context at most."""
    return max(1, min(reply, context // 2) if reply else min(REPLY, context // 4))

"""What is kept of a conversation: the head that names it, and its messages, each with what it cost.

1. A message is kept as OpenAI's chat API has it (`Message`), whichever API it came by: `dialects/turns/` translates. Members that this shape
   does not know stay in it.
2. Messages are numbered from 1, without gaps, in the order of the conversation. What a prompt leaves out stays kept.
3. The leading system prompt of a conversation is the head's (`Head.system`), not a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""`role` and, by role, `content` (text, a list of parts, or None), `name`, `tool_calls`, `tool_call_id`, `reasoning_content`, ...

Bytes of an image or a sound that is given inline are held apart, by the hash of their bytes: `blobs.py`.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One message at rest."""

    message: Message
    digest: bytes
    """What tells whether a client has sent the same message again: `identity.digest`."""
    size: int
    """Characters: `budget.size`."""
    at: float = 0.0
    """Epoch seconds."""
    model: str = ""
    """Of an answer: who gave it (a real id, a peer's as `peer/id`)."""
    prompt_tokens: int | None = None
    """Of an answer: the tokens of the whole prompt that it was given for, as its engine counted, cached ones included."""
    answer_tokens: int | None = None
    """Of an answer: its own."""
    prompt_from: int = 1
    """Of an answer: the number of the first message that was in its prompt."""
    partial: bool = False
    """An answer that was cut off."""
    response_id: str = ""
    """Of an answer to `/v1/responses`: its id, to go on from."""


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation. Times are epoch seconds."""

    session_id: str
    created_at: float
    updated_at: float
    model: str = ""
    """Who gave the last answer."""
    preset: str = ""
    """The name of the system prompt that it was given, empty for none."""
    system: tuple[Message, ...] = ()
    """The system (or developer) messages that its client has sent last."""
    messages: int = 0
    """How many there are."""
    forked_from: str = ""
    forked_at: int = 0
    """How many messages it has in common with that one."""
    metadata: dict[str, str] = field(default_factory=dict)
    """For people: a title, ..."""

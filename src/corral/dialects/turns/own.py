"""What the chat API has no word for, kept in a message under corral's name, for the API that it came by.

1. A message that an API would get back otherwise than it sent it keeps what was sent, whole; it is that API's alone.
2. It counts as long as the message says the same.
3. No client writes this member: what comes under its name is dropped.
"""

from __future__ import annotations

from typing import Any, Final

from corral.dialects.turns.shape import Message

OWN: Final = "corral"


def kept(message: Message, api: str, original: object) -> Message:
    """The message, with what `api` is to get back."""
    return {**message, OWN: {api: original}}


def original(message: Message, api: str) -> Any:
    """What `api` sent; None where the message says it all."""
    own = message.get(OWN)
    return own.get(api) if isinstance(own, dict) else None


def unchanged(message: Message, told: Message) -> bool:
    """Whether the message still says what it was told from: part of an answer may have been taken away since."""
    return public(message) == public(told)


def public(message: Message) -> Message:
    """Without it."""
    return {name: message[name] for name in message if name != OWN} if OWN in message else message

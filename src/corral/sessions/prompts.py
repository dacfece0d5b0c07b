"""The system prompt that a turn goes out with: corral's own, the client's, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from corral.config.conversing import SystemPolicy
from corral.sessions.record import Message

BETWEEN: Final = "\n\n"
"""What stands between corral's and the client's, in one message: many models' templates take no second system message."""


def preset(presets: Mapping[str, str], session: str, model: str, default: str) -> str:
    """The text of the session's preset, else of the model's, else `default` (`sessions.systemPrompt`).

    `session` and `model` are names, empty for none; a name that there is no preset of (any more) is as none.
    """
    for name in (session, model):
        if name in presets:
            return presets[name]
    return default


def system(policy: SystemPolicy, text: str, own: Sequence[Message]) -> tuple[Message, ...]:
    """What leads the prompt. `text`: corral's (`preset`), empty for none; `own`: the system messages of the client, now or last time.

    Where corral has none, the client's stay, whatever the policy says.
    """
    if not text or (own and policy == "default"):
        return tuple(own)
    if own and policy == "prepend":
        return (_joined(text, own[0]), *own[1:])
    return ({"role": "system", "content": text},)


def _joined(text: str, message: Message) -> Message:
    content = message.get("content")
    if isinstance(content, list):
        return message | {"content": [{"type": "text", "text": text + BETWEEN}, *content]}
    return message | {"content": text + BETWEEN + content if content else text}

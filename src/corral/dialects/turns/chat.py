"""OpenAI's chat API: messages are kept as they are.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.dialects.changes import Changes
from corral.dialects.turns.chat_answer import ChatAnswer
from corral.dialects.turns.collecting import Listener, Room
from corral.dialects.turns.messages import check, leading
from corral.dialects.turns.own import public
from corral.dialects.turns.request import Request, encoded, nested
from corral.dialects.turns.shape import Asked, Collector, Message


class Chat:
    """A `Shape`: `/v1/chat/completions`."""

    name = "chat"
    count = "/v1/chat/completions/input_tokens"
    ends = (b"data:[DONE]",)

    @nested
    def read(self, body: bytes) -> Asked:
        request = Request(body)
        messages = request.objects("messages")
        for at, message in enumerate(messages):
            check(message, f"messages[{at}]")
        first = leading(messages)
        own = [public(message) for message in messages]
        return Asked(
            system=tuple(own[:first]),
            messages=tuple(own[first:]),
            choices=request.count("n") or 1,
            reply=request.count("max_completion_tokens", "max_tokens", "n_predict"),
            extra=request.length("tools", "functions"),
        )

    def changes(self, system: Sequence[Message], messages: Sequence[Message]) -> Changes:
        written = [public(message) for message in (*system, *messages)]
        return Changes(fixed={"messages": encoded(written), "session_id": None})

    def collector(self, content_type: str, content_encoding: str) -> Collector:
        room = Room()
        return Listener(ChatAnswer(room), room, content_type, content_encoding)


CHAT: Final = Chat()

"""OpenAI's Responses API.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from corral.dialects.changes import Changes
from corral.dialects.turns import items
from corral.dialects.turns.collecting import Listener, Room
from corral.dialects.turns.items import Item
from corral.dialects.turns.messages import leading
from corral.dialects.turns.own import original
from corral.dialects.turns.request import Request, encoded, nested, told
from corral.dialects.turns.responses_answer import ResponsesAnswer
from corral.dialects.turns.shape import Asked, Collector, Message
from corral.errors import InvalidRequest


class Responses:
    """A `Shape`: `/v1/responses`."""

    name = "responses"
    count = "/v1/responses/input_tokens"
    ends = (b"event:response.completed", b"event:response.incomplete")

    @nested
    def read(self, body: bytes) -> Asked:
        request = Request(body)
        given = request.value("instructions")
        if not isinstance(given, str | None):
            raise InvalidRequest(f"`instructions` must be text, not {told(given)}")
        said = list(items.messages(_input(request)))
        first = leading(said)
        system = [{"role": "system", "content": given}] if given else []
        return Asked(
            system=(*system, *said[:first]),
            messages=tuple(said[first:]),
            reply=request.count("max_output_tokens"),
            extra=request.length("tools"),
        )

    def changes(self, system: Sequence[Message], messages: Sequence[Message]) -> Changes:
        given = _instructions(system)
        rest = system[1:] if given else system
        said = [item for message in (*rest, *messages) for item in items.written(message)]
        return Changes(
            fixed={
                "instructions": encoded(given) if given else None,
                "input": encoded(said),
                "session_id": None,
                "previous_response_id": None,
            }
        )

    def collector(self, content_type: str, content_encoding: str) -> Collector:
        room = Room()
        return Listener(ResponsesAnswer(room), room, content_type, content_encoding)


RESPONSES: Final = Responses()


def _instructions(system: Sequence[Message]) -> str:
    """The first system prompt, if it is no more than a text; the others are items."""
    for message in system[:1]:
        content = message.get("content")
        if (
            message["role"] == "system"
            and isinstance(content, str)
            and original(message, items.API) is None
        ):
            return content
    return ""


def _input(request: Request) -> list[Item]:
    value: Any = request.value("input")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    given = request.objects("input", "text or a list")
    for at, item in enumerate(given):
        items.check(item, f"input[{at}]")
    return given

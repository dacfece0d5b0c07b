"""Anthropic's Messages API.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from corral.dialects.changes import Changes
from corral.dialects.turns import blocks
from corral.dialects.turns.anthropic_answer import AnthropicAnswer
from corral.dialects.turns.blocks import Content
from corral.dialects.turns.collecting import Listener, Room
from corral.dialects.turns.messages import leading
from corral.dialects.turns.request import Request, a_content, a_role, encoded, nested, wrong
from corral.dialects.turns.shape import Asked, Collector, Message

ROLES: Final = ("user", "assistant", "system")
MARKS: Final = 3
"""Places that a request may mark for the cache: the API takes four, and one is left for the tools. The newest stay."""
_WRITTEN: Final = {"assistant": "assistant", "system": "system", "developer": "system"}


class Anthropic:
    """A `Shape`: `/v1/messages`."""

    name = "anthropic"
    count = "/v1/messages/count_tokens"
    ends = (b"event:message_stop",)

    @nested
    def read(self, body: bytes) -> Asked:
        request = Request(body)
        system = _system(request.value("system"))
        messages = request.objects("messages")
        for at, message in enumerate(messages):
            _check(message, f"messages[{at}]")
        told = [one for message in messages for one in _messages(message)]
        first = leading(told)
        return Asked(
            system=(*system, *told[:first]),
            messages=tuple(told[first:]),
            reply=request.count("max_tokens"),
            extra=request.length("tools"),
        )

    def changes(self, system: Sequence[Message], messages: Sequence[Message]) -> Changes:
        prompt = _prompt(system)
        room = MARKS - sum(map(blocks.marks, system))
        return Changes(
            fixed={
                "system": encoded(prompt) if prompt else None,
                "messages": encoded(_written(messages, room)),
                "session_id": None,
            }
        )

    def collector(self, content_type: str, content_encoding: str) -> Collector:
        room = Room()
        return Listener(AnthropicAnswer(room), room, content_type, content_encoding)


ANTHROPIC: Final = Anthropic()


# --- reading -----------------------------------------------------------------------------------------------------


def _system(value: Any) -> list[Message]:
    a_content(value, "the body", blocks.check, "system")
    return [blocks.said("system", value)] if value else []


def _check(message: Message, where: str) -> None:
    a_role(message.get("role"), where, ROLES)
    content = message.get("content")
    if content is None:
        raise wrong(where, "has no `content`")
    a_content(content, where, blocks.check)


def _messages(message: Message) -> Iterator[Message]:
    """A user's message with tools' results is several: one of each result, in the order of the blocks."""
    role, content = message["role"], message["content"]
    if role == "assistant":
        yield blocks.assistant(content)
    elif role == "system" or isinstance(content, str) or not content:
        yield blocks.said(role, content)
    else:
        for results, some in groupby(content, lambda block: block["type"] == "tool_result"):
            run = list(some)
            yield from map(blocks.result, run) if results else [blocks.said(role, run)]


# --- writing -----------------------------------------------------------------------------------------------------


def _prompt(system: Sequence[Message]) -> Content:
    contents = [blocks.written(message, marked=True) for message in system]
    if len(contents) == 1:
        return contents[0]
    return [block for content in contents if content for block in blocks.listed(content)]


def _written(messages: Sequence[Message], room: int) -> list[Message]:
    """A user's message that follows tools' results is one with them, as the API wants all of them in one."""
    made: list[Message] = []
    for message, marked in zip(messages, _marked(messages, room), strict=True):
        role = _WRITTEN.get(message["role"], "user")
        content = blocks.written(message, marked=marked)
        if role == "user" and made and _of_results(made[-1]):
            made[-1]["content"] += blocks.listed(content) if content else ()
        else:  # a list of its own, for more may come into it
            own = [*content] if isinstance(content, list) else content
            made.append({"role": role, "content": own})
    return made


def _of_results(message: Message) -> bool:
    content = message["content"]
    return isinstance(content, list) and bool(content) and content[-1]["type"] == "tool_result"


def _marked(messages: Sequence[Message], room: int) -> list[bool]:
    """Whose marks stay."""
    marked = []
    for message in reversed(messages):
        room -= blocks.marks(message)
        marked.append(room >= 0)
    return marked[::-1]

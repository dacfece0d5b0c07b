"""Chat messages: what is wrong with one, and what is in it, whichever client wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from corral.dialects.turns.request import a_content, a_role, a_text, an_object, told, wrong
from corral.dialects.turns.shape import Message

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
SYSTEM: Final = ("system", "developer")


class Call(NamedTuple):
    """One call of a tool; what a custom tool gets is any text."""

    id: str
    name: str
    arguments: str | dict[str, object]


def calls(message: Message) -> Iterator[Call]:
    """Also the one call that there could be before there were tools, whose id is its name."""
    for call in message.get("tool_calls") or ():
        made = call.get("function") or call.get("custom")
        yield _made(call.get("id"), made if isinstance(made, dict) else {})
    single = message.get("function_call")
    if isinstance(single, dict):
        yield _made(single.get("name"), single)


def _made(call: object, made: Message) -> Call:
    arguments = made.get("arguments", {"input": made["input"]} if "input" in made else "")
    given = arguments if isinstance(arguments, str | dict) else ""
    return Call(_named(call), _named(made.get("name")), given)


def _named(text: object) -> str:
    return text if text and isinstance(text, str) else "_"


def caller(message: Message) -> str:
    """The id of the call that a tool's message answers."""
    name = "tool_call_id" if message["role"] == "tool" else "name"
    return _named(message.get(name))


def leading(messages: Sequence[Message]) -> int:
    """How many messages at the beginning are the system's or the developer's."""
    return next((at for at, one in enumerate(messages) if one["role"] not in SYSTEM), len(messages))


def check(message: Message, where: str) -> None:
    """Raises InvalidRequest."""
    role = a_role(message.get("role"), where, ROLES)
    a_content(message.get("content"), where, _part)
    if role == "tool":
        a_text(message.get("tool_call_id"), where, "tool_call_id")
    calls = message.get("tool_calls")
    if calls is None:
        return
    if role != "assistant":
        raise wrong(where, f"`tool_calls` are the assistant's, not the {role}'s")
    if not isinstance(calls, list):
        raise wrong(where, f"`tool_calls` must be a list, not {told(calls)}")
    for at, call in enumerate(calls):
        place = f"{where}.tool_calls[{at}]"
        check_call(call, place)


def _part(part: Message, where: str) -> None:
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise wrong(where, f"`text` must be text, not {told(part.get('text'))}")


def check_call(value: object, where: str) -> None:
    """A function's call; what other kinds of tools want is the engine's to judge. Raises InvalidRequest."""
    call = an_object(value, where)
    if call.get("type") not in (None, "function"):
        return
    function = an_object(call.get("function"), f"{where}.function")
    a_text(function.get("name"), f"{where}.function", "name")
    arguments = function.get("arguments")
    if not isinstance(arguments, str | dict | None):
        raise wrong(f"{where}.function", f"`arguments` must be text, not {told(arguments)}")

"""The items of OpenAI's Responses API, and what the chat API has in their place.

1. Items of the model's that follow each other - thoughts, texts, calls - are one message.
2. What an item becomes need not say all that it said: if the items that come of a message are not those that it came of, the message keeps
   these (`own`), whole. So the API gets back what it sent, and the others a text in the place of what they do not know.
3. Any item with a `call_id` is a tool's call, or its output; a hosted tool's, without one, is a text in the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

import msgspec

from corral.dialects.turns.blocks import instead
from corral.dialects.turns.messages import Call, caller, calls
from corral.dialects.turns.own import kept, original, unchanged
from corral.dialects.turns.request import a_content, a_role, a_text, told, wrong
from corral.dialects.turns.shape import Message

Item: TypeAlias = dict[str, Any]

API: Final = "responses"
ROLES: Final = ("user", "assistant", "system", "developer")
_TEXTS: Final = ("input_text", "output_text", "text")
_NO_ARGUMENTS: Final = ("type", "id", "status", "call_id", "name")
_PASSING: Final = ("id", "status")
"""Members of a message, a call or an output that need not come back."""
_PLAIN: Final = ("message", "function_call", "function_call_output")


def check(item: Item, where: str) -> None:
    """Raises InvalidRequest."""
    if not isinstance(item.get("type"), str | None):
        raise wrong(where, f"`type` must be text, not {told(item['type'])}")
    what = kind(item)
    if what == "message":
        a_role(item.get("role"), where, ROLES)
        if item.get("content") is None:
            raise wrong(where, "has no `content`")
        a_content(item["content"], where, _check_part)
    elif what in ("function_call", "function_call_output"):
        a_text(item.get("call_id"), where, "call_id")
        _check_call(item, where)
    elif not isinstance(item.get("call_id"), str | None):
        raise wrong(where, f"`call_id` must be text, not {told(item['call_id'])}")


def _check_call(item: Item, where: str) -> None:
    """What a function is called with, or has answered."""
    if item["type"] == "function_call_output":
        if item.get("output") is None:
            raise wrong(where, "has no `output`")
        a_content(item["output"], where, _check_part, "output")
        return
    a_text(item.get("name"), where, "name")
    if not isinstance(item.get("arguments"), str):
        raise wrong(where, f"`arguments` must be text, not {told(item.get('arguments'))}")


def _check_part(part: Item, where: str) -> None:
    if part["type"] in ("input_text", "output_text") and not isinstance(part.get("text"), str):
        raise wrong(where, f"`text` must be text, not {told(part.get('text'))}")


# --- items to messages -------------------------------------------------------------------------------------------


def kind(item: Item) -> str:
    return item.get("type") or "message"


def side(item: Item) -> str:
    """Whose the item is: a role, `tool` for an output."""
    match kind(item):
        case "message":
            return str(item["role"])
        case text if text.endswith("_output") and item.get("call_id"):
            return "tool"
        case text if text.endswith("_response"):
            return "user"
    return "assistant"


def messages(items: Sequence[Item]) -> Iterator[Message]:
    for whose, some in groupby(items, side):
        if whose == "assistant":
            yield answer(list(some))
        else:
            yield from map(_result if whose == "tool" else _said, some)


def answer(items: Sequence[Item]) -> Message:
    """What the model has said in one go."""
    parts = [part for item in items for part in _parts(item)]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
    called = [_call(item) for item in items if item.get("call_id")]
    thought = "".join(text for item in items for text in _thoughts(item))
    content = "".join(texts) or (None if called else "")
    members = {
        "reasoning_content": thought,
        "refusal": "".join(refusals),
        "tool_calls": called,
    }
    told = {name: value for name, value in members.items() if value}
    return _kept({"role": "assistant", "content": content, **told}, items)


def _parts(item: Item) -> list[Message]:
    if kind(item) == "message":
        return _content(item.get("content"))
    silent = item.get("call_id") or kind(item) == "reasoning"
    return [] if silent else [instead({"type": kind(item)})]


def _content(content: object) -> list[Message]:
    if isinstance(content, list):
        return [part(one) for one in content if isinstance(one, dict) and "type" in one]
    return [{"type": "text", "text": content}] if isinstance(content, str) else []


def _thoughts(item: Item) -> Iterator[str]:
    """All of it if the engine tells, else its summary."""
    if kind(item) == "reasoning":
        for one in item.get("content") or item.get("summary") or ():
            if isinstance(one, dict) and isinstance(text := one.get("text"), str):
                yield text


def _call(item: Item) -> Message:
    made = kind(item)
    if made == "function_call":
        arguments, name = item.get("arguments"), item.get("name")
    else:
        told = {key: value for key, value in item.items() if key not in _NO_ARGUMENTS}
        arguments, name = told, item.get("name") or made.removesuffix("_call")
    text = arguments if isinstance(arguments, str) else _json(arguments or {})
    function = {"name": name or "", "arguments": text}
    return {"id": item["call_id"], "type": "function", "function": function}


def _result(item: Item) -> Message:
    output = item.get("output")
    told = output if isinstance(output, str) else _content(output) or f"[{kind(item)}]"
    message = {"role": "tool", "tool_call_id": item["call_id"], "content": told}
    return _kept(message, [item])


def _said(item: Item) -> Message:
    if kind(item) != "message":
        return _kept({"role": "user", "content": f"[{kind(item)}]"}, [item])
    content = item.get("content")
    told = content if isinstance(content, str) else _content(content)
    return _kept({"role": item["role"], "content": told}, [item])


def part(one: Item) -> Message:
    """A part of a chat message."""
    match one:
        case {"type": name, "text": str(text)} if name in _TEXTS:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "refusal", "refusal": text}
        case {"type": "input_image", "image_url": str(url)}:
            detail = {"detail": one["detail"]} if one.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case {"type": "input_file"} if not one.get("file_url"):
            file = {key: one[key] for key in ("file_data", "file_id", "filename") if one.get(key)}
            return {"type": "file", "file": file}
        case {"type": "input_audio", "input_audio": dict(sound)}:
            return {"type": "input_audio", "input_audio": sound}
    return instead(one)


def _kept(message: Message, items: Sequence[Item]) -> Message:
    if list(map(_plain, _converted(message))) == list(map(_plain, items)):
        return message
    return kept(message, API, list(items))


def _plain(item: Item) -> Item:
    """Without what need not come back."""
    if kind(item) not in _PLAIN:
        return item
    plain = {key: value for key, value in item.items() if key not in _PASSING}
    match item.get("content"):
        case [{"type": "output_text", "text": str(text)} as one] if not _more(one):
            plain["content"] = text
    return {"type": "message", **plain}


def _more(part: Item) -> list[str]:
    """What an answer's text has beside the text."""
    return [key for key in part if part[key] and key not in ("type", "text")]


# --- messages to items -------------------------------------------------------------------------------------------


def written(message: Message) -> list[Item]:
    """The items of a message."""
    held = original(message, API)
    if held is None or not unchanged(message, _read(message["role"], held)):
        return _converted(message)
    return list(held)


def _read(role: str, items: list[Item]) -> Message:
    return answer(items) if role == "assistant" else next(messages(items))


def _converted(message: Message) -> list[Item]:
    match message["role"]:
        case "assistant":
            return [*_answered(message), *map(_function, calls(message))]
        case "tool" | "function":
            return [_output(message)]
    content = _inputs(message.get("content"))
    return [{"type": "message", "role": message["role"], "content": content}]


def _inputs(content: Any) -> str | list[Item]:
    return [_input(one) for one in content] if isinstance(content, list) else content or ""


def _input(part: Message) -> Item:
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return {"type": "input_text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url)} as image}:
            detail = {"detail": image["detail"]} if image.get("detail") else {}
            return {"type": "input_image", "image_url": url, **detail}
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "input_image", "image_url": url}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file", **file}
        case {"type": "input_audio", "input_audio": dict(sound)}:
            return {"type": "input_audio", "input_audio": sound}
    return {"type": "input_text", "text": instead(part)["text"]}


def _output(message: Message) -> Item:
    output = _inputs(message.get("content"))
    return {"type": "function_call_output", "call_id": caller(message), "output": output}


def _answered(message: Message) -> Iterator[Item]:
    """Thoughts are left out: the API takes none but its own. An answer's text that has no id of the API's is text, not parts."""
    content = message.get("content")
    inputs = _inputs(content if isinstance(content, list) else [_text(content or "")])
    texts = [one["text"] for one in inputs if isinstance(one, dict) and "text" in one]
    said = "\n".join(filter(None, [*texts, message.get("refusal")]))
    if said or not any(calls(message)):
        yield {"type": "message", "role": "assistant", "content": said}


def _text(text: str) -> Message:
    return {"type": "text", "text": text}


def _function(call: Call) -> Item:
    """A custom tool's call is a function's here too, since what it gets is."""
    told = call.arguments
    text = told if isinstance(told, str) else _json(told)
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": text}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

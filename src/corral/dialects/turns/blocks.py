"""Anthropic's content blocks, and what the chat API has in their place.

1. What a block becomes need not say all that it said: if the blocks that come of a message are not those that it came of, the message keeps
   these (`own`), whole. So Anthropic's API gets back what it sent, and the others a text in the place of what they do not know.
2. `cache_control` is kept beside the blocks: where it stands changes from request to request, what it stands at does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from corral.dialects.turns.messages import Call, caller, calls
from corral.dialects.turns.own import kept, original, unchanged
from corral.dialects.turns.request import a_content, a_text, told, wrong
from corral.dialects.turns.shape import Message

Block: TypeAlias = dict[str, Any]
Content: TypeAlias = "str | list[Block]"

API: Final = "anthropic"
MARK: Final = "cache_control"
_DATA_URL: Final = re.compile(r"data:([^;,]{1,128});base64,")
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_PDF: Final = "application/pdf"


def check(block: Block, where: str) -> None:
    """Raises InvalidRequest."""
    match block["type"]:
        case "text":
            _check_text(block, where)
        case "tool_result":
            a_text(block.get("tool_use_id"), where, "tool_use_id")
            a_content(block.get("content"), where, _check_text)
        case "tool_use":
            a_text(block.get("id"), where, "id")
            a_text(block.get("name"), where, "name")
            if not isinstance(block.get("input"), dict | None):
                raise wrong(where, f"`input` must be an object, not {told(block['input'])}")


def _check_text(block: Block, where: str) -> None:
    if block["type"] == "text" and not isinstance(block.get("text"), str):
        raise wrong(where, f"`text` must be text, not {told(block.get('text'))}")


# --- blocks to messages ------------------------------------------------------------------------------------------


def said(role: str, content: Content) -> Message:
    """A user's or the system's message, of blocks that are no tools' results."""
    text = content if isinstance(content, str) else [part(block) for block in bare(content)]
    return _kept({"role": role, "content": text}, content)


def result(block: Block) -> Message:
    """What a tool has answered."""
    content = block.get("content") or ""
    text = content if isinstance(content, str) else [part(one) for one in content]
    message = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}
    return _kept(message, [block])


def assistant(content: Content) -> Message:
    """An answer. Texts are joined as they stand: the API parts them where it cites, within a sentence."""
    blocks = bare(listed(content))
    texts = [_text_of(one) for one in blocks]
    called = [_call(one) for one in blocks if one["type"] == "tool_use"]
    thoughts = [text for one in blocks if isinstance(text := one.get("thinking"), str)]
    message: Message = {"role": "assistant", "content": "".join(texts) or (None if called else "")}
    if thought := "".join(thoughts):
        message["reasoning_content"] = thought
    if called:
        message["tool_calls"] = called
    return _kept(message, content)


def _text_of(block: Block) -> str:
    if block["type"] in ("tool_use", "thinking", "redacted_thinking"):
        return ""
    return str(part(block).get("text", instead(block)["text"]))


def _call(block: Block) -> Message:
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    function = {"name": block.get("name") or "", "arguments": arguments}
    return {"id": block.get("id") or "", "type": "function", "function": function}


def part(block: Block) -> Message:
    """A part of a chat message."""
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case {"type": "image", "source": {"type": "url", "url": url}}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}:
            name = str(block.get("title") or "document")
            file = {"filename": name, "file_data": f"data:{kind};base64,{data}"}
            return {"type": "file", "file": file}
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            return {"type": "text", "text": text}
    return instead(block)


def instead(part: Message) -> Message:
    """What stands in the place of something that an API does not know."""
    return {"type": "text", "text": f"[{part['type']}]"}


def _kept(message: Message, content: Content) -> Message:
    blocks = listed(content)
    held: dict[str, Any] = {}
    if bare(listed(_converted(message))) != bare(blocks):
        held["blocks"] = bare(blocks)
    if marks := {str(at): one[MARK] for at, one in enumerate(blocks) if MARK in one}:
        held["marks"] = marks
    return kept(message, API, held) if held else message


def listed(content: Content) -> list[Block]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def bare(blocks: Sequence[Block]) -> list[Block]:
    return [{name: one[name] for name in one if name != MARK} for one in blocks]


# --- messages to blocks ------------------------------------------------------------------------------------------


def marks(message: Message) -> int:
    """How many of its blocks are marked for the cache."""
    return len((original(message, API) or {}).get("marks", ()))


def written(message: Message, *, marked: bool) -> Content:
    """The message's content as Anthropic's API has it."""
    held = original(message, API) or {}
    content = held.get("blocks")
    if content is None or not unchanged(message, _read(message["role"], content)):
        content = _converted(message)
    if not (marked and "marks" in held):
        return content
    given = held["marks"]
    return [
        {**block, MARK: given[str(at)]} if str(at) in given else block
        for at, block in enumerate(listed(content))
    ]


def _read(role: str, blocks: list[Block]) -> Message:
    match role:
        case "assistant":
            return assistant(blocks)
        case "tool":
            return result(blocks[0])
    return said(role, blocks)


def _converted(message: Message) -> Content:
    match message["role"]:
        case "assistant":
            return _answered(message)
        case "tool" | "function":
            return [_result(message)]
    return _content(message.get("content"))


def _content(content: Any) -> Content:
    return [block(one) for one in content] if isinstance(content, list) else content or ""


def _result(message: Message) -> Block:
    content = _content(message.get("content"))
    return {"type": "tool_result", "tool_use_id": _id(caller(message)), "content": content}


def _answered(message: Message) -> Content:
    """Thoughts are left out: the API takes none but its own, which are signed."""
    content = listed(_content(message.get("content")))
    texts = [*content, {"type": "text", "text": message.get("refusal") or ""}]
    blocks = [one for one in texts if one.get("text") != ""]
    return [*blocks, *map(_use, calls(message))] or ""


def _use(call: Call) -> Block:
    told = call.arguments
    given = told if isinstance(told, dict) else arguments(told)
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": given}


def arguments(text: str) -> Block:
    """A call's arguments as an object, which they are not if a model has written nonsense, or the tool takes any text."""
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"input": text}


def _id(text: str) -> str:
    return _NOT_IN_IDS.sub("_", text)


def block(part: Message) -> Block:
    """The content block for a part of a chat message."""
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return {"type": "image", "source": _source(url)}
        case {"type": "file", "file": {"file_data": str(url)} as file} if _kind(url) == _PDF:
            title = (
                {"title": file["filename"]}
                if file.get("filename", "document") != "document"
                else {}
            )
            return {"type": "document", "source": _source(url), **title}
    return instead(part)


def _source(url: str) -> Block:
    found = _DATA_URL.match(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found[1], "data": url[found.end() :]}


def _kind(url: str) -> str:
    found = _DATA_URL.match(url)
    return found[1] if found else ""

"""Whether two messages are the same one, sent again.

1. Role, text, images and other bytes, tool calls (id, name, arguments) and `tool_call_id` tell messages apart.
2. What clients lose or rewrite when they send an answer again does not: reasoning (also as `<think>` before the text), refusals, white space
   around an assistant's text, the spacing of a tool call's arguments, members without a value, members that nobody has heard of, whether
   a text is one or in parts, and cache marks.
3. A message has one digest, whether its bytes are in it or detached (`blobs`), unless a member of it is named `$blob`.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

from corral.sessions import blobs
from corral.sessions.record import Message

LENGTH: Final = 16
"""Bytes of a digest."""
_THOUGHT: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_TEXT: Final = (None, "text", "input_text", "output_text")
_LOST: Final = ("refusal", "thinking", "redacted_thinking", "reasoning", "reasoning_content")
"""Types of an answer's parts that come back or not, as the client likes."""
_MARKS: Final = ("cache_control", "detail", "annotations")
"""Members of a part that say how it is to be treated."""
_NAMED: Final = ("user", "system", "developer")
"""Who may have a name that tells."""


def digest(message: Message) -> bytes:
    """16 bytes, equal for the same message. Whatever JSON the message is, nothing is raised."""
    told = [_plain(message.get(name) or "") for name in ("role", "tool_call_id")]
    told += [_content(message), _calls(message)]
    if message.get("role") in _NAMED:
        told.append(_plain(message.get("name") or ""))
    return blake2b(_text(told).encode(), digest_size=LENGTH).digest()


def _content(message: Message) -> list[object]:
    """Texts, and other parts as lists; texts that follow each other are one."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    told: list[object] = []
    found = (part for part in map(_part, parts) if part is not None)
    for texts, run in groupby(found, lambda part: isinstance(part, str)):
        some = list(run)
        told += ["".join(map(str, some))] if texts else some
    if message.get("role") == "assistant":
        told = [_said(part) for part in told]
    return [part for part in told if part != ""]


def _said(part: object) -> object:
    return _THOUGHT.sub("", part).strip() if isinstance(part, str) else part


def _part(part: Any) -> object:
    """Its text, or what else tells it apart; None when nothing does."""
    if not isinstance(part, dict):
        return part if part is None or isinstance(part, str) else [_plain(part)]
    kind, text = part.get("type"), part.get("text")
    if isinstance(text, str) and kind in _TEXT:
        return text
    return None if kind in _LOST else [_plain(part)]


def _plain(value: Any, name: str = "", depth: int = blobs.DEEPEST) -> Any:
    """Bytes by their hash; without what does not tell. Below `depth` only sizes count."""
    if isinstance(value, str):
        held = blobs.inline(value, name, smallest=0)
        return {"hash": blobs.named(held.bytes)} if held else value
    if not isinstance(value, dict | list):
        return value
    if key := blobs.reference(value):
        return {"hash": key}
    if not depth:
        return len(value)
    if isinstance(value, list):
        return [_plain(item, name, depth - 1) for item in value]
    return {
        key: _plain(item, key, depth - 1)
        for key, item in value.items()
        if item is not None and key not in _MARKS
    }


def _calls(message: Message) -> list[object]:
    calls = message.get("tool_calls")
    told = [_call(call) for call in calls] if isinstance(calls, list) else []
    single = message.get("function_call")  # as the API had it before there were tools
    return [*told, _call({"function": single})] if single else told


def _call(call: Any) -> object:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return _plain(call)
    arguments = _arguments(function.get("arguments"))
    return [_plain(call.get("id") or ""), _plain(function.get("name") or ""), arguments]


def _arguments(arguments: Any) -> str:
    """As values, where they are JSON: spacing and the order of members do not tell."""
    try:
        told = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        return _text(told or {})
    except (ValueError, RecursionError):
        return str(arguments).strip() if isinstance(arguments, str) else ""


_text: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

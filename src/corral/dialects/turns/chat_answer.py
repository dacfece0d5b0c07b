"""An answer of OpenAI's chat API: choice 0 of it, as the message that goes into the history."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from corral.dialects.turns.collecting import ENTRY, Failed, Room, Text
from corral.dialects.turns.messages import check, check_call
from corral.dialects.turns.own import OWN
from corral.dialects.turns.request import JUNK, passes
from corral.dialects.turns.shape import Message
from corral.wire.sse import Event

_TOLD: Final = ("role", "content", "reasoning", "reasoning_content", "tool_calls", OWN)


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: Any = None
    object: Any = None


class _Whole(msgspec.Struct):
    index: int | None = None
    message: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    choices: list[_Whole] | None = None


_chunk: Final = msgspec.json.Decoder(_Chunk).decode
_answer: Final = msgspec.json.Decoder(_Answer).decode


class Call:
    """One tool call in the making. What is no function's is a custom tool's, whose input is any text."""

    def __init__(self, room: Room) -> None:
        self._members: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._room = room
        self._texts: dict[str, Text] = {}

    def add(self, piece: dict[str, Any]) -> None:
        """More of it. What was told already is not told again: some engines repeat the name with every piece."""
        for name, value in piece.items():
            if name in ("function", "custom") and isinstance(value, dict):
                self._within(name, value)
            elif name != "index" and value is not None:
                self._members.setdefault(name, value)

    def _within(self, kind: str, piece: dict[str, Any]) -> None:
        text = self._texts.setdefault(kind, Text(self._room))
        text.add(_text(piece.get("arguments" if kind == "function" else "input")))
        if isinstance(name := piece.get("name"), str) and name:
            self._names.setdefault(kind, name)

    def made(self, *, complete: bool) -> Message | None:
        """As a message has it; None when its arguments were cut off."""
        for kind, text in self._texts.items():
            if not complete and not (kind == "function" and is_json(str(text))):
                return None
            said = "arguments" if kind == "function" else "input"
            inner = {"name": self._names.get(kind, ""), said: str(text)}
            return {"type": kind, **self._members, kind: inner}
        return None


def _text(value: object) -> object:
    """Some engines give a call's arguments as an object."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value


def is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except JUNK:
        return False
    return True


class ChatAnswer:
    """`Hears` an answer to `/v1/chat/completions`."""

    response_id = ""

    def __init__(self, room: Room) -> None:
        self.ended = False
        self._room = room
        self._content, self._reasoning, self._refusal = Text(room), Text(room), Text(room)
        self._calls: dict[int, Call] = {}
        self._single = Call(room)
        self._message: Message | None = None

    # --- a stream ----------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        if event.data == "[DONE]":
            self.ended = True
            return
        try:
            chunk = _chunk(event.data)
        except JUNK:
            return
        if chunk.error is not None or chunk.object == "error":
            raise Failed
        for choice in chunk.choices or ():
            if not choice.index and choice.delta is not None:
                self._add(choice.delta)

    def _add(self, delta: _Delta) -> None:
        self._content.add(delta.content)
        thought = delta.reasoning_content
        self._reasoning.add(delta.reasoning if thought is None else thought)
        self._refusal.add(delta.refusal)
        if isinstance(delta.tool_calls, list):
            for piece in delta.tool_calls:
                self._call(piece)
        if isinstance(delta.function_call, dict):
            self._single.add({"function": delta.function_call})

    def _call(self, piece: object) -> None:
        if not isinstance(piece, dict):
            return
        at = piece.get("index")
        if not isinstance(at, int):  # some engines send calls whole, without numbering them
            at = len(self._calls) - (not piece.get("id") and bool(self._calls))
        if at not in self._calls:
            if not self._room.has(ENTRY):
                return
            self._calls[at] = Call(self._room)
        self._calls[at].add(piece)

    # --- a plain answer ----------------------------------------------------------------------------------------------

    def whole(self, body: bytes) -> None:
        try:
            answer = _answer(body)
        except JUNK:
            return
        for choice in answer.choices or ():
            if not choice.index and choice.message is not None:
                self._message = tidied(choice.message)
                self.ended = True
                return

    # --- both --------------------------------------------------------------------------------------------------------

    def message(self, *, complete: bool) -> Message | None:
        if self._message is not None:
            return self._message
        calls = [call.made(complete=complete) for call in self._calls.values()]
        single = self._single.made(complete=complete)
        message = tidied(
            {
                "content": str(self._content),
                "reasoning_content": str(self._reasoning),
                "refusal": str(self._refusal),
                "tool_calls": [call for call in calls if call],
                "function_call": single["function"] if single else None,
            }
        )
        said = message["content"] or len(message) > len(("role", "content"))
        return message if said or complete else None


def tidied(message: Message) -> Message:
    """An answer's message as it goes into the history: without members that say nothing, or that no client could send; thoughts under one
    name."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    rest = {name: message[name] for name in message if name not in _TOLD and message[name]}
    if calls := _calls(message.get("tool_calls")):
        rest["tool_calls"] = calls
    if isinstance(thought, str) and thought:
        rest["reasoning_content"] = thought
    content = message.get("content")
    if not content or not passes(check, {"role": "assistant", "content": content}):
        content = None if calls or "function_call" in rest else ""
    return {"role": "assistant", "content": content, **rest}


def _calls(calls: object) -> list[Message]:
    if not isinstance(calls, list):
        return []
    return [call for call in calls if isinstance(call, dict) and passes(check_call, call)]

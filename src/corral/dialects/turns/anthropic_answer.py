"""An answer of Anthropic's Messages API, as the message that goes into the history."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from corral.dialects.turns import blocks
from corral.dialects.turns.blocks import Block
from corral.dialects.turns.collecting import ENTRY, Failed, Room, Text
from corral.dialects.turns.own import public
from corral.dialects.turns.request import JUNK, passes
from corral.dialects.turns.shape import Message
from corral.wire.sse import Event

_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""The member of a delta that has the text; a block has it under the same name, but for a tool's input."""
_MAY_BE_CUT: Final = ("text", "thinking")


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    type: str = ""
    content: list[dict[str, Any]] | None = None


_event: Final = msgspec.json.Decoder(_Event).decode
_answer: Final = msgspec.json.Decoder(_Answer).decode


class _Making:
    """One block in the making."""

    def __init__(self, room: Room, begun: Block) -> None:
        self._room = room
        self._begun = begun
        self._texts: dict[str, Text] = {}
        self._citations: list[object] = []
        self.whole = False

    def add(self, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "citations_delta" and self._room.has(ENTRY):
            self._citations.append(delta.get("citation"))
        elif isinstance(kind, str) and (name := _DELTAS.get(kind)):
            if name not in self._texts:
                self._texts[name] = Text(self._room, self._begun.get(name))
            self._texts[name].add(delta.get(name))

    def made(self) -> Block:
        texts = {name: str(text) for name, text in self._texts.items()}
        told = texts.pop("partial_json", "")
        made: Block = {**self._begun, **texts}
        if told:
            made["input"] = blocks.arguments(told)
        if self._citations:
            made["citations"] = [*(made.get("citations") or ()), *self._citations]
        return made


class AnthropicAnswer:
    """`Hears` an answer to `/v1/messages`."""

    response_id = ""

    def __init__(self, room: Room) -> None:
        self.ended = False
        self._room = room
        self._blocks: dict[int, _Making] = {}
        self._whole: list[Block] | None = None

    def event(self, event: Event) -> None:
        try:
            told = _event(event.data)
        except JUNK:
            return
        match told.type:
            case "content_block_start" if told.content_block and self._room.has(ENTRY):
                self._blocks[told.index] = _Making(self._room, told.content_block)
            case "content_block_delta" if told.delta and told.index in self._blocks:
                self._blocks[told.index].add(told.delta)
            case "content_block_stop" if told.index in self._blocks:
                self._blocks[told.index].whole = True
            case "message_stop":
                self.ended = True
            case "error":
                raise Failed

    def whole(self, body: bytes) -> None:
        try:
            answer = _answer(body)
        except JUNK:
            return
        if answer.type == "message" and answer.content is not None:
            self._whole = answer.content
            self.ended = True

    def message(self, *, complete: bool) -> Message | None:
        made = self._whole if self._whole is not None else self._made(complete=complete)
        told = [
            block
            for block in made
            if isinstance(block.get("type"), str) and passes(blocks.check, block)
        ]
        if not told and not complete:
            return None
        return blocks.assistant(told) if complete else public(blocks.assistant(told))

    def _made(self, *, complete: bool) -> list[Block]:
        made = [(making, making.made()) for _, making in sorted(self._blocks.items())]
        return [
            block
            for making, block in made
            if complete or making.whole or block.get("type") in _MAY_BE_CUT
        ]

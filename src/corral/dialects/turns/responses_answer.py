"""An answer of OpenAI's Responses API, as the message that goes into the history."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from corral.dialects.turns import items
from corral.dialects.turns.collecting import ENTRY, Failed, Room, Text
from corral.dialects.turns.items import Item
from corral.dialects.turns.own import public
from corral.dialects.turns.request import JUNK, passes
from corral.dialects.turns.shape import Message
from corral.wire.sse import Event

_ENDS: Final = ("completed", "incomplete")
_FAILED: Final = ("error", "response.failed")
_DELTAS: Final = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_text",
    "response.reasoning_summary_text.delta": "summary_text",
}
"""The type of the part that a delta belongs to. What a call was to be told is not read from deltas: it counts when it is whole."""


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    output: list[dict[str, Any]] | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    response: _Response | None = None
    item: dict[str, Any] | None = None
    item_id: str = ""
    output_index: int | None = None
    delta: Any = None


_event: Final = msgspec.json.Decoder(_Event).decode
_answer: Final = msgspec.json.Decoder(_Response).decode


class _Making:
    """One item in the making."""

    def __init__(self, room: Room, item: Item) -> None:
        self._room = room
        self.item = item
        self.whole = False
        self._texts: dict[str, Text] = {}

    def add(self, part: str, delta: object) -> None:
        if part not in self._texts:
            self._texts[part] = Text(self._room)
        self._texts[part].add(delta)

    def made(self) -> Item | None:
        """None for what makes no sense as long as it is not whole."""
        if self.whole or not self._texts:
            return self.item if self.whole else None
        made: dict[str, list[Item]] = {}
        for name, text in self._texts.items():
            place = "summary" if name == "summary_text" else "content"
            said = "refusal" if name == "refusal" else "text"
            made.setdefault(place, []).append({"type": name, said: str(text)})
        return {**self.item, **made}


class ResponsesAnswer:
    """`Hears` an answer to `/v1/responses`."""

    def __init__(self, room: Room) -> None:
        self.ended = False
        self.response_id = ""
        self._room = room
        self._items: dict[str | int, _Making] = {}
        self._output: list[Item] = []

    def event(self, event: Event) -> None:
        try:
            told = _event(event.data)
        except JUNK:
            return
        if told.type in _FAILED:
            raise Failed
        if told.response is not None:
            self.response_id = told.response.id or self.response_id
            self._over(told.type.removeprefix("response."), told.response)
        elif told.item is not None and told.type.startswith("response.output_item."):
            self._item(told, told.item)
        elif told.type in _DELTAS:
            making = self._items.get(self._key(told, {}))
            if making:
                making.add(_DELTAS[told.type], told.delta)

    def _over(self, how: str, response: _Response) -> None:
        if how in _ENDS:
            self.ended = True
            self._output = response.output or []

    def _item(self, told: _Event, item: Item) -> None:
        key = self._key(told, item)
        if key not in self._items:
            if not self._room.has(ENTRY):
                return
            self._items[key] = _Making(self._room, item)
        if told.type.endswith(".done"):
            self._items[key].item = item
            self._items[key].whole = True

    def _key(self, told: _Event, item: Item) -> str | int:
        """llama.cpp does not number its items, others change their ids from event to event."""
        if told.output_index is not None:
            return told.output_index
        return told.item_id or str(item.get("id") or item.get("call_id") or "")

    def whole(self, body: bytes) -> None:
        try:
            answer = _answer(body)
        except JUNK:
            return
        self.response_id = answer.id
        if answer.output is not None and answer.error is None:
            self._over(answer.status or "completed", answer)

    def message(self, *, complete: bool) -> Message | None:
        made = [one.made() for one in self._items.values()]
        told = [
            item
            for item in self._output or made
            if item and "type" in item and passes(items.check, item)
        ]
        if not told and not complete:
            return None
        return items.answer(told) if complete else public(items.answer(told))

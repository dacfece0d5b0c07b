"""An answer to a turn, put together while it goes by: plain JSON or an event stream, whatever the pieces.

1. Nothing is raised. What cannot be read is passed over, and the answer is then complete only if its end says so all the same.
2. Complete is what came to the end that its API has for it: an object with an answer in it, or the stream's last event. An error in the
   stream, text that is no event, or the connection's end do not make one.
3. Memory is bounded: of an answer with more than `LIMIT` characters the rest is not kept, and it is not complete.
4. A tool call whose arguments were cut off was never made: an answer that is not complete goes without it. What is left of such an answer
   is what the chat API can say: no API gets back half of what it said in its own words.
"""

from __future__ import annotations

import io
from typing import Final, Protocol

from corral.dialects.turns.shape import Message, Said
from corral.dialects.usage import UsageTap
from corral.errors import UpstreamInvalid
from corral.wire.encoding import Decoder
from corral.wire.sse import Event, Parser

LIMIT: Final = 16 * 2**20
"""Characters of an answer that are kept; bytes of a plain one."""
ENTRY: Final = 256
"""Characters that one more part or tool call counts for, be it empty."""


class Room:
    """What may still be kept of an answer."""

    def __init__(self, size: int = LIMIT) -> None:
        self._left = size
        self.full = False
        """Something did not fit any more."""

    def has(self, size: int) -> bool:
        """Whether there is room for so many more; it is taken. Once something did not fit, nothing does."""
        self.full = self.full or size > self._left
        self._left -= 0 if self.full else size
        return not self.full


class Text:
    """Text in the making."""

    def __init__(self, room: Room, begun: object = None) -> None:
        self._room = room
        self._text = io.StringIO()
        self.add(begun)

    def __str__(self) -> str:
        return self._text.getvalue()

    def add(self, more: object) -> None:
        """What is no text adds nothing."""
        if isinstance(more, str) and self._room.has(len(more)):
            self._text.write(more)


class Hears(Protocol):
    """One API's understanding of an answer."""

    @property
    def ended(self) -> bool:
        """It has come to its proper end."""
        ...

    @property
    def response_id(self) -> str: ...

    def event(self, event: Event) -> None:
        """One of the stream. Raises `Failed` for an error."""
        ...

    def whole(self, body: bytes) -> None:
        """A plain answer."""
        ...

    def message(self, *, complete: bool) -> Message | None:
        """What has been said so far; None when that is nothing."""
        ...


class Failed(Exception):  # noqa: N818 - not an error of corral's: the answer says so
    """The answer says that it failed."""


class Listener:
    """A `Collector`: takes the answer apart for one that hears."""

    def __init__(
        self, hears: Hears, room: Room, content_type: str, content_encoding: str = ""
    ) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self._hears = hears
        self._room = room
        self._decoder = Decoder(content_encoding)
        self._tap = UsageTap(content_type)
        self._parser = Parser() if kind == "text/event-stream" else None
        self._body = bytearray()
        self._broken = False

    def feed(self, piece: bytes) -> None:
        for content in self._decoder.feed(piece):
            self._tap.feed(content)
            if self._parser:
                self._events(self._parser, content)
            elif self._room.has(len(content)):
                self._body += content

    def _events(self, parser: Parser, content: bytes) -> None:
        if self._broken:
            return
        try:
            for event in parser.feed(content):
                self._hears.event(event)
        except (UpstreamInvalid, Failed):
            self._broken = True

    def said(self) -> Said:
        if self._body and not self._room.full:
            self._hears.whole(bytes(self._body))
        whole = not (self._broken or self._room.full or self._decoder.problem)
        complete = whole and self._hears.ended
        message = self._hears.message(complete=complete)
        return Said(message, complete, self._hears.response_id, self._tap.usage())

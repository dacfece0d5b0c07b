"""Server-sent events: text to events as it comes in pieces, and back (WHATWG HTML, "Server-sent events").

1. A line ends with CR, LF or CRLF; a CR at the end of a piece ends its line at once, a LF that follows is part of it.
2. An event is complete at a blank line; one that the stream's end cuts off is none.
3. Memory is bounded: an event of more than `limit` bytes is UpstreamInvalid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from corral.errors import UpstreamInvalid

BOM: Final = b"\xef\xbb\xbf"
_BREAK: Final = re.compile(r"\r\n|\r|\n")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the last id that the stream has set so far, `retry` milliseconds if this event set it."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None


class Parser:
    """Fed the bytes of a stream, gives its events."""

    def __init__(self, limit: int = 16 * 2**20) -> None:
        self._limit = limit
        self._held: list[bytes] = []  # a line's beginning, in the pieces it came in
        self._held_size = 0
        self._fresh = True
        self._after_cr = False
        self._id = ""
        self._size = 0
        self._data: list[str] = []
        self._event = ""
        self._retry: int | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes. Raises UpstreamInvalid for one that is too long."""
        self._held.append(piece)
        self._held_size += len(piece)
        events = []
        if b"\n" in piece or b"\r" in piece:
            lines = self._lines(b"".join(self._held))
            events = [event for line in lines if (event := self._line(line)) is not None]
        if self._held_size + self._size > self._limit:
            raise UpstreamInvalid(f"the engine sent an event of more than {self._limit} bytes")
        return events

    def _lines(self, text: bytes) -> list[bytes]:
        """Whole lines, without what ends them; the rest is held."""
        if self._after_cr:
            text = text.removeprefix(b"\n")
        lines = text.splitlines()
        self._after_cr = text.endswith(b"\r")
        whole = self._after_cr or text.endswith(b"\n")
        rest = b"" if whole or not lines else lines.pop()
        self._held, self._held_size = [rest], len(rest)
        if self._fresh and lines:
            self._fresh = False
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._size += len(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if _MILLISECONDS.fullmatch(value):
                self._retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        data, event, retry = self._data, self._event, self._retry
        self._clear()
        if not data:
            return None
        return Event("\n".join(data), event or "message", self._id, retry)

    def _clear(self) -> None:
        self._size, self._data, self._event, self._retry = 0, [], "", None


def encode(data: str, *, event: str = "", id: str = "", retry: int | None = None) -> bytes:  # noqa: A002 - the standard's name
    """One event as bytes, blank line included. Line breaks within `data` arrive as LF; `event` and `id` must have none."""
    if _BREAK.search(event + id) or "\0" in id:
        raise ValueError("an event's name and id are one line of text, without NUL")
    lines = [f"event: {event}"] if event else []
    lines += [f"id: {id}"] if id else []
    lines += [] if retry is None else [f"retry: {retry}"]
    lines += [f"data: {line}" for line in _BREAK.split(data)]
    return ("\n".join(lines) + "\n\n").encode()


def comment(text: str = "") -> bytes:
    """A line that readers pass over: keeps a quiet connection open."""
    return f": {_BREAK.sub(' ', text)}\n\n".encode()

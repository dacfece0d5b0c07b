"""What an answer says of the tokens it cost, read while it goes by.

1. A piece of a stream costs a search for three words. Of the events that have one of them, the first and the `LAST` are parsed, at the
   end: some engines send running totals with every token.
2. Memory is bounded: of a plain answer, and of an event, at most `Ends` are kept. Of a longer one counts what stands at top level in
   them, so that long text or long vectors in the middle do not matter.
3. Whatever comes, nothing is raised: what cannot be read says nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final

import msgspec

from corral.dialects.tally import JUNK, Tally, Usage, anything, opened
from corral.errors import CorralError
from corral.wire.encoding import Decoder
from corral.wire.ends import Ends
from corral.wire.members import Members

__all__ = ["Usage", "UsageTap"]

MESSAGE_LENGTH: Final = 500
"""Characters of an error's message that are kept."""
LAST: Final = 4
"""Events at the end of a stream that may share what there is to tell: tokens in one, times in another."""
_WORDS: Final = (b'"usage"', b'"timings"', b'"metrics"')
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_TELLING: Final = re.compile(rb'"(?:usage|timings|metrics)"[ \t]*+:[ \t]*+\{')
_ERRORS: Final = ("error", "message", "detail")


class UsageTap:
    """Fed an answer's body as it came, of this Content-Type and Content-Encoding; asked for its usage at the end."""

    def __init__(self, content_type: str, content_encoding: str = "") -> None:
        reads, media = _reader(content_type)
        self._reads = reads()
        self._decoder: Decoder | None = None
        self.feed: Callable[[bytes], None] = self._reads.feed
        """The next piece, of any size."""
        if media:
            self.feed = _passed_over
        elif content_encoding:
            self._decoder = Decoder(content_encoding)
            self.feed = partial(self._decoded, self._decoder)

    def _decoded(self, decoder: Decoder, chunk: bytes) -> None:
        for piece in decoder.feed(chunk):
            self._reads.feed(piece)

    def usage(self) -> Usage | None:
        """What the answer has told so far; None when it has told nothing."""
        return self._reads.usage()

    def error(self) -> str:
        """For an answer that was none (its status says so): what it says went wrong, in one line; empty when it says nothing.

        Also why an answer could not be read here.
        """
        if self._decoder and self._decoder.problem:
            return f"response decode failed: {self._decoder.problem}"
        return self._reads.error()


@lru_cache(64)
def _reader(content_type: str) -> tuple[type[_Plain | _Stream], bool]:
    """Who reads such an answer, and whether it is for ears and eyes. Few types come again and again."""
    kind = content_type.partition(";")[0].strip().lower()
    reads = _Stream if kind == "text/event-stream" else _Plain
    return reads, kind.partition("/")[0] in ("audio", "image", "video")


def _passed_over(_: bytes) -> None:
    """What is for ears and eyes has no tokens."""


class _Plain:
    """One JSON value: an object, or as from `/infill` an array, whose last element counts."""

    def __init__(self) -> None:
        self._ends = Ends()
        self.feed: Callable[[bytes], None] = self._ends.feed

    def usage(self) -> Usage | None:
        tally = Tally()
        _tally(tally, self._ends)
        return tally.usage()

    def error(self) -> str:
        envelope = None if self._ends.cut else opened(self._ends.head.strip())
        if envelope is None:
            return ""
        told = (_message(getattr(envelope, name)) for name in _ERRORS)
        return next(filter(None, told), "")


def _message(raw: msgspec.Raw) -> str:
    """The text that a member is, or that is its `message`."""
    try:
        value = anything(bytes(raw)) if bytes(raw) else None
    except JUNK:
        return ""
    if isinstance(value, dict):
        value = value.get("message")
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH] + "..."


def _tally(tally: Tally, ends: Ends) -> None:
    if not ends.cut:
        tally.add(_last_element(ends.head.strip()))
        return
    for text in (_members(ends.head), *_continued(ends.tail, b"{")):
        tally.add(text)


def _last_element(text: bytes) -> bytes:
    if not text.startswith(b"["):
        return text
    try:
        elements = _elements(text)
    except JUNK:
        return b""
    return bytes(elements[-1]) if elements else b""


def _members(head: bytes) -> bytes:
    """The wanted members at top level of a text that goes on after `head`, as an object. (llama.cpp's embeddings begin with their usage.)"""
    members = Members("usage", "timings", "metrics")
    try:
        members.feed(head)
    except CorralError:
        return b""
    found = (b'"%b":%b' % (one.name.encode(), one.raw) for one in members.found)
    return b"{%b}" % b",".join(found)


def _continued(tail: bytes, *outer: bytes) -> Iterator[bytes]:
    """The objects that are left of a text of which only `tail` is there: `outer`, then a wanted member and all that follows it.

    A member on another level than `outer` opens leaves too many brackets, or too few, so that the text does not parse.
    """
    tail = tail.rstrip().removesuffix(b"]")  # the last element of an array
    starts = sorted(at for word in _WORDS for at in _places(tail, word))
    texts = (opening + tail[at:] for at in starts for opening in outer)
    yield from (text for text in texts if opened(text) is not None)


def _places(text: bytes, word: bytes) -> Iterator[int]:
    """Where `word` stands, the last few times."""
    at = len(text)
    for _ in range(8):
        at = text.rfind(word, 0, at)
        if at < 0:
            return
        yield at


class _Stream:
    """Server-sent events: the `data` lines that have one of the words with an object behind it."""

    def __init__(self) -> None:
        self._first = b""
        self._last: deque[bytes] = deque(maxlen=LAST)
        self._line: Ends | None = None

    def feed(self, piece: bytes) -> None:
        if self._line is None and piece.endswith(b"\n"):  # whole events, as nearly always
            if b'"usage"' in piece or b'"timings"' in piece or b'"metrics"' in piece:
                self._read(piece)
        elif piece:
            self._put_together(piece)

    def usage(self) -> Usage | None:
        tally = Tally()
        for text in (self._first, *self._last):
            tally.add(text)
        return tally.usage()

    def error(self) -> str:
        return ""

    def _put_together(self, piece: bytes) -> None:
        """A line that comes in several pieces."""
        first, broken, rest = piece.partition(b"\n")
        self._line = self._line or Ends()
        self._line.feed(first)
        if not broken:
            return
        self._read_line(self._line)
        self._line = None
        whole, broken, begun = rest.rpartition(b"\n")
        self._read(whole)
        if begun:
            self._line = Ends()
            self._line.feed(begun)

    def _read(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            if line.startswith(b"data:") and _TELLING.search(line):
                self._note(line[5:].strip())

    def _read_line(self, line: Ends) -> None:
        if not line.cut:
            self._read(line.head)
            return
        for text in _continued(line.tail, b"{", b'{"response":{'):
            self._note(text)

    def _note(self, text: bytes) -> None:
        if self._first:
            self._last.append(text)
        else:
            self._first = text

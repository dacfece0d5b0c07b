"""Requests and their answers, kept whole for whoever wants to look into one: the latest that fit, in memory, without their secrets.

1. What is kept is bounded by `captureBuffer`, the oldest leaves first; what is being taken from answers under way is bounded by as much
   again. An answer that outgrows either keeps its headers and loses its body.
2. Sound and pictures are not kept, nor is a request's body that was too big for memory when it came.
3. Long bodies are packed afterwards, in a thread. By zlib, which is there: what zstd would save is not worth a dependency.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from itertools import chain
from typing import Any, Final

from corral.dialects import activity
from corral.dialects.endpoints import Side
from corral.gateway.exchange import Exchange
from corral.gateway.ports import Headers
from corral.wire.encoding import Decoder
from corral.wire.headers import find
from corral.wire.redaction import redacted

WORTH_PACKING: Final = 2**14
"""Bytes of both bodies: below, packing costs more than it saves."""
OVERHEAD: Final = 512
"""Bytes that a capture counts for itself, beside its headers and bodies."""
UNPACKED: Final = 2**26
"""Bytes of a body that was compressed on its way which are shown."""

_MEDIA: Final = (b"audio/", b"image/", b"video/")


class Capture:
    """One request and its answer. `id` is its row's, 0 as long as that has none. Few objects: there may be thousands of it."""

    __slots__ = ("asked", "fields", "id", "kept", "left_out", "packed", "path", "said", "size")

    def __init__(
        self, path: str, fields: tuple[bytes, bytes], asked: bytes, said: bytes, left_out: str
    ) -> None:
        self.id = 0
        self.path = path
        self.fields = fields
        """The request's, and the answer's."""
        self.asked = asked
        self.said = said
        self.left_out = left_out
        self.size = OVERHEAD + len(fields[0]) + len(fields[1]) + len(asked) + len(said)
        self.packed = self.kept = False

    def __repr__(self) -> str:
        return f"<Capture {self.id} of {self.path}, {self.size} bytes{', packed' * self.packed}>"

    def pack(self) -> tuple[bytes, bytes]:
        """Both bodies, packed. Takes time."""
        return zlib.compress(self.asked, 1), zlib.compress(self.said, 1)

    def shown(self) -> dict[str, Any]:
        """For JSON, as llama-swap's clients read it. Takes time."""
        bodies = self.asked, self.said
        asked, said = map(zlib.decompress, bodies) if self.packed else bodies
        request, answer = map(_read, self.fields)
        said = _decoded(answer, said)
        left_out = self.left_out.split()
        return activity.capture(self.id, self.path, (request, asked), (answer, said), left_out)


def _is_media(exchange: Exchange, side: Side) -> bool:
    return bool(exchange.endpoint and side in exchange.endpoint.media)


def _written(headers: Headers) -> bytes:
    """Without secrets, in one piece. No field has a line break in it."""
    return b"\n".join(chain.from_iterable(redacted(headers)))


def _read(fields: bytes) -> Headers:
    parts = iter(fields.split(b"\n")) if fields else iter(())
    return list(zip(parts, parts, strict=True))


def _decoded(headers: Headers, body: bytes) -> bytes:
    """What a reader can read; the body as it came when that is not to be had."""
    encoding = find(headers, b"content-encoding")
    if not encoding or not body:
        return body
    decoder, content = Decoder(encoding.decode("latin-1")), bytearray()
    for piece in decoder.feed(body):
        content += piece
        if len(content) > UNPACKED:
            return body
    return body if decoder.problem else bytes(content)


class Taking:
    """Sees one answer's body go by, and keeps it while there is room."""

    __slots__ = ("_body", "_captures", "full")

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._body: bytes | bytearray = b""
        self.full = False

    def feed(self, piece: bytes) -> None:
        if self.full:
            return
        if not self._body:  # often there is but one
            self._body = piece
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body + piece)
        else:
            self._body += piece
        self._captures.taken += len(piece)
        if self._captures.taken > self._captures.limit:
            self.full = True
            self.end()

    def end(self) -> bytes:
        """What was kept: all of it, or nothing."""
        body, self._body = self._body, b""
        self._captures.taken -= len(body)
        return b"" if self.full else bytes(body)


class Captures:
    """The latest captures that fit into `limit` bytes. With 0 there are none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        """Bytes held of answers that are under way."""
        self._held = 0
        self._all: deque[Capture] = deque()
        self._by_id: dict[int, Capture] = {}
        self._waiting: deque[Capture] = deque()
        self._packing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Captures: {len(self._all)}, {self._held}/{self.limit} bytes>"

    def __contains__(self, number: object) -> bool:
        return number in self._by_id

    def __getitem__(self, number: int) -> Capture:
        return self._by_id[number]

    def resize(self, limit: int) -> None:
        """From now on this many bytes; what no longer fits leaves."""
        self.limit = limit
        self._make_room()

    def take(self, exchange: Exchange) -> Taking | None:
        """Who sees the answer that begins; None when its body is not wanted."""
        if not 200 <= exchange.status < 300 or _is_media(exchange, "answer"):
            return None
        kind = find(exchange.answer_headers, b"content-type") or b""
        return None if kind.startswith(_MEDIA) else Taking(self)

    def keep(self, exchange: Exchange, taking: Taking | None) -> Capture | None:
        """Keep what an exchange was, once it is over; None when it is too big."""
        left_out = ""
        asked, said = exchange.body, taking.end() if taking else b""
        if not isinstance(asked, bytes) or _is_media(exchange, "request"):
            asked, left_out = b"", "req_body "
        if taking is None or taking.full:
            left_out += "resp_body"
        fields = _written(exchange.headers), _written(exchange.answer_headers)
        capture = Capture(exchange.path, fields, asked, said, left_out)
        return self._add(capture) if capture.size <= self.limit else None

    def name(self, capture: Capture, number: int) -> None:
        """It is known by this id from now on, if it is still there."""
        if capture.kept:
            capture.id = number
            self._by_id[number] = capture

    def close(self) -> None:
        """Pack no more."""
        if self._packing:
            self._packing.cancel()

    # --- room --------------------------------------------------------------------------------------------------------

    def _add(self, capture: Capture) -> Capture:
        capture.kept = True
        self._all.append(capture)
        self._held += capture.size
        if self._held > self.limit:
            self._make_room()
        if len(capture.asked) + len(capture.said) > WORTH_PACKING:
            self._waiting.append(capture)
            self._packing = self._packing or self._begin()
        return capture

    def _make_room(self) -> None:
        while self._held > self.limit:
            oldest = self._all.popleft()
            oldest.kept = False
            self._held -= oldest.size
            self._by_id.pop(oldest.id, None)

    # --- packing -----------------------------------------------------------------------------------------------------

    def _begin(self) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._pack(), name="captures: packing")

    async def _pack(self) -> None:
        try:
            while self._waiting:
                capture = self._waiting.popleft()
                if capture.kept:
                    self._replace(capture, *await asyncio.to_thread(capture.pack))
        finally:
            self._packing = None

    def _replace(self, capture: Capture, asked: bytes, said: bytes) -> None:
        saved = len(capture.asked) + len(capture.said) - len(asked) - len(said)
        if not capture.kept or saved <= 0:
            return
        capture.asked, capture.said = asked, said
        capture.size -= saved
        self._held -= saved
        capture.packed = True

"""Bodies that are compressed on their way (RFC 9110 8.4): what corral reads of an answer it passes on as it came.

1. Memory is bounded: a piece comes out in pieces of at most `PIECE` bytes, whatever it claims to be.
2. Nothing here raises: what cannot be read ends, and `problem` says why.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache

from corral.wire.headers import Headers

PIECE = 2**16
"""Bytes."""

_WINDOW = {
    "gzip": 32 + zlib.MAX_WBITS,  # told apart from zlib's by its first bytes
    "x-gzip": 32 + zlib.MAX_WBITS,
    "deflate": 32 + zlib.MAX_WBITS,
}


def narrowed(headers: Headers) -> Headers:
    """A request's fields, `Accept-Encoding` (RFC 9110 12.5.3) with those codings only that a `Decoder` reads."""
    return [
        header if header[0] != b"accept-encoding" else (header[0], _readable(header[1]))
        for header in headers
    ]


@lru_cache(256)
def _readable(accepted: bytes) -> bytes:
    codings = [coding.strip() for coding in accepted.split(b",")]
    read = [coding for coding in codings if _name(coding) in (*_WINDOW, "identity")]
    return b", ".join(read) or b"identity"


def _name(coding: bytes) -> str:
    return coding.partition(b";")[0].strip().lower().decode("latin-1")


class Decoder:
    """Fed a body encoded as `Content-Encoding` says, it gives the body. `problem` is empty as long as all is well."""

    def __init__(self, encoding: str) -> None:
        self._name = encoding.strip().lower()
        self._plain = self._name in ("", "identity")
        window = _WINDOW.get(self._name)
        self._unpack = zlib.decompressobj(window) if window else None
        self.problem = (
            "" if self._plain or window else f"its encoding {encoding!r} cannot be read here"
        )

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What this piece, of any size, becomes."""
        if self._plain:
            yield piece
        while piece and self._unpack and not self.problem:
            try:
                content = self._unpack.decompress(piece, PIECE)
            except zlib.error as error:
                self.problem = f"it is no {self._name}: {error}"
                return
            if content:
                yield content
            if self._unpack.eof:
                self._unpack = None
                return
            piece = self._unpack.unconsumed_tail

"""What pages from other origins may do (Fetch Standard, "CORS protocol").

1. Whoever asks first (OPTIONS) may ask anything, of any path, without a key: browsers show none there. What a key protects stays protected.
2. Answers about models and of models may be read by any page, so that chat pages work from wherever they are served. What requests hold and
   logs say may not: without keys any page that is open in a browser could read it.
3. An engine's own word on this stands.
4. Who sends no `Origin` (all but browsers) pays one look at its headers.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any, Final

from corral.gateway.ports import Headers
from corral.gateway.relay import Message, Send
from corral.wire.headers import find

METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS: Final = b"Content-Type, Authorization, Accept, X-Requested-With"
"""What may be sent by whoever does not say what they want to send."""
MAX_AGE: Final = b"86400"
"""Seconds."""

READABLE: Final = ("/v1/", "/models", "/health")
"""Where paths begin, beside the routes of models, of which a page may read the answers."""

_ALLOW_ORIGIN: Final = b"access-control-allow-origin"
_SHOWN: Final = ((b"access-control-expose-headers", b"*"), (b"vary", b"Origin"))
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


async def preflight(headers: Headers, send: Send) -> None:
    """The answer to an OPTIONS: yes, to the headers that it names as far as they are names at all."""
    wanted = find(headers, b"access-control-request-headers") or b""
    names = [name for name in map(bytes.strip, wanted.split(b",")) if _TOKEN.fullmatch(name)]
    answer = [
        (_ALLOW_ORIGIN, b"*"),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", b", ".join(names) or HEADERS),
        (b"access-control-max-age", MAX_AGE),
        (b"vary", b"Access-Control-Request-Headers"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": answer})
    await send({"type": "http.response.body", "body": b""})


def readable(headers: Headers, send: Send) -> Send:
    """`send`, so that the page that asks may read the answer."""
    origin = find(headers, b"origin")
    return send if origin is None else Readable(origin, send)


class Readable:
    """A `send` that lets `origin` read. It hands on the coroutine of the one below: nothing is added to a piece of a body."""

    __slots__ = ("_origin", "_send")

    def __init__(self, origin: bytes, send: Send) -> None:
        self._origin = origin
        self._send = send

    def __call__(self, message: Message) -> Coroutine[Any, Any, None]:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if find(headers, _ALLOW_ORIGIN) is None:
                message = {**message, "headers": [*headers, (_ALLOW_ORIGIN, self._origin), *_SHOWN]}
        return self._send(message)

"""Requests for a WebSocket between their head and the tunnel, and their refusal where no tunnel can be had.

1. A client is to wait for its 101 (RFC 6455 4.1); what one that does not wait sends is kept, up to `EARLY` bytes and one read.
2. Under a server other than corral's own the connection cannot be taken over: the refusal says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from corral.dialects.openai import OPENAI
from corral.errors import WebSocketUnavailable
from corral.gateway.relay import Send
from corral.server import responses
from corral.wire.headers import find, request_id

EARLY = 2**16
"""Bytes that are read from a client that does not wait for its WebSocket."""
UNAVAILABLE = "WebSockets are passed on only by corral's own server: run `corral serve`"

_INTERNAL_ERROR = 1011  # RFC 6455 7.4.1
_ANSWER = "websocket.http.response"


class Early(asyncio.Protocol):
    """Stands before a protocol that has read a request for a WebSocket: what comes now is no HTTP, and is kept for whoever takes over."""

    def __init__(self, front: asyncio.Protocol, transport: asyncio.Transport, came: bytes) -> None:
        self._front = front
        self._transport = transport
        self.came = bytearray(came)

    def data_received(self, data: bytes) -> None:
        self.came += data
        if len(self.came) > EARLY:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._front.eof_received()

    def pause_writing(self) -> None:
        self._front.pause_writing()

    def resume_writing(self) -> None:
        self._front.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connection_lost(exc)


async def refuse(scope: MutableMapping[str, Any], send: Send) -> None:
    """Answer a WebSocket of an ASGI server: with a status and a body where the server can send them, else by closing it."""
    if _ANSWER not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _INTERNAL_ERROR, "reason": UNAVAILABLE})
        return
    number = request_id(find(scope["headers"], b"x-request-id")) or ""
    rendered = responses.render(WebSocketUnavailable(UNAVAILABLE), OPENAI, request_id=number)
    head = {"status": rendered.status, "headers": rendered.headers}
    await send({"type": f"{_ANSWER}.start", **head})
    await send({"type": f"{_ANSWER}.body", "body": rendered.body})

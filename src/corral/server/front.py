"""The client's side of a connection: who is there, and when they leave.

Laws:
1. uvicorn's flow control, limits and shutdown stay as they are; `Front` only adds that a request learns when its client leaves.
2. Everything but WebSockets works under plain ASGI too: without `Front`, `watch` reads `receive()` and every `send` counts as one that may
   suspend.
"""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from corral.errors import WebSocketUnavailable
from corral.gateway.relay import ClientLeft, Message
from corral.gateway.tunnel import Line
from corral.server.upgrade import UNAVAILABLE, Early
from corral.wire import headers
from corral.wire.headers import asks_for_websocket, find

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

LINGER = 30.0
"""Seconds that a cut connection has to take what was sent before the cut."""
_EXTENSION = "corral"


class Present:
    """The client of one request under `Front`. Fits `gateway.relay.Client`."""

    __slots__ = ("_cycle", "_front", "_on_leave", "left", "switched")

    def __init__(self, front: Front, cycle: RequestResponseCycle) -> None:
        self._front = front
        self._cycle = weakref.ref(cycle)  # which has the scope that has this: no circle per request
        self._on_leave: Callable[[], None] | None = None
        self.left = False
        self.switched = False
        """It got what it asked for: another protocol."""

    @property
    def paused(self) -> bool:
        return self._front.flow.write_paused

    def finished(self) -> None:
        """Nothing to do: the connection knows when its answer is complete."""

    def cut(self) -> None:
        """Close once what was sent is out, or after `LINGER` seconds, whichever comes first."""
        self.stop_watching()
        if cycle := self._cycle():
            cycle.disconnected = True  # else uvicorn logs an answer that was not ended
            cycle.transport.close()
            self._front.loop.call_later(LINGER, self._front.transport.abort)

    @property
    def asks_for_websocket(self) -> bool:
        return self._front.early is not None

    def switch(self, protocol: asyncio.Protocol) -> Line:
        """From now on the connection is `protocol`'s, which the client asked for. Raises ClientLeft."""
        self.stop_watching()
        cycle, early = self._cycle(), self._front.early
        if cycle is None or early is None or self._front.transport.is_closing():
            raise ClientLeft
        cycle.disconnected = True  # for uvicorn this request is over
        self.switched = True
        self._front.transport.set_protocol(protocol)
        front = self._front
        return Line(front.transport, bytes(early.came), front.connection_lost, self.paused)

    def start_watching(self, on_leave: Callable[[], None]) -> None:
        self._on_leave = on_leave
        if self._front.transport.is_closing():
            self._front.loop.call_soon(self.leave)
        else:
            self._front.present.add(self)

    def stop_watching(self) -> None:
        self._on_leave = None
        self._front.present.discard(self)

    def leave(self) -> None:
        """The connection is gone. Means nothing when the answer was complete."""
        cycle = self._cycle()
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            self.left = True
            if self._on_leave:
                self._on_leave()


class Corked:
    """A cycle's way to the transport: keeps the head of an answer with a declared length back until the body's first piece.

    That is one system call instead of two for most answers; from then on the cycle has the transport itself.
    """

    __slots__ = ("_cycle", "_front", "_held", "_transport")

    def __init__(self, cycle: RequestResponseCycle, front: Front) -> None:
        self._cycle = cycle
        self._front = front
        self._transport = front.transport
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held or not self._cycle.expected_content_length:
            self._release(data)
        else:
            self._held = data

    def close(self) -> None:
        self._release(b"")
        self._cycle.transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _release(self, data: bytes) -> None:
        early = self._cycle.more_body
        self._cycle.transport = Unread(self._front) if early else self._transport  # type: ignore[assignment]  # as in `Front`
        if not self._transport.is_closing():
            self._transport.write(self._held + data)


class Unread(asyncio.Protocol):
    """The way to the transport of a cycle that answers before the whole request has come.

    Closed at once, the connection would be reset by what nobody has read, and the client might never see the answer. So it learns that this
    was all, and what it still sends is read by this protocol and dropped, for `LINGER` seconds at most.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self.write = front.transport.write
        self.is_closing = front.transport.is_closing

    def close(self) -> None:
        transport = self._front.transport
        if transport.is_closing() or not transport.can_write_eof():  # TLS cannot
            transport.close()
            return
        transport.set_protocol(self)
        transport.write_eof()
        self._front.loop.call_later(LINGER, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.connection_lost(exc)


class Front(HttpToolsProtocol):
    """uvicorn's protocol, with each request's client in `scope["extensions"]["corral"]`. Give it to uvicorn as `http=Front`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.present: set[Present] = set()
        self.early: Early | None = None

    def data_received(self, data: bytes) -> None:
        """uvicorn's own, but for what becomes of requests for another protocol."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            self._asked_to_switch(data[upgrade.args[0] :])

    def _should_upgrade(self) -> bool:
        """uvicorn is to leave this request alone: it asks for another protocol than a WebSocket, and begins anew without asking."""
        return not (self.parser.get_method() == b"GET" and asks_for_websocket(self.headers))

    def _asked_to_switch(self, rest: bytes) -> None:
        """`rest` is what came behind the head: the parser takes even a body for the other protocol."""
        if self.parser.get_method() == b"CONNECT":
            self.send_400_response("CONNECT is not answered here.")
        elif self._should_upgrade():
            self.data_received(self._unasked() + rest)
        else:  # its last request in HTTP, which has begun
            self.cycle.keep_alive = False
            self.early = Early(self, self.transport, rest)
            self.transport.set_protocol(self.early)

    def _unasked(self) -> bytes:
        """The request's head without its `Upgrade`, which may be ignored (RFC 9110 7.8)."""
        version = self.scope["http_version"].encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and cycle.scope is self.scope:  # not an upgrade
            extensions: dict[str, Any] = {_EXTENSION: Present(self, cycle)}
            self.scope["extensions"] = extensions
            if self.scope["method"] != "HEAD":  # its length announces nothing
                cycle.transport = Corked(cycle, self)  # type: ignore[assignment]  # a cycle only writes, closes and asks

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for client in tuple(self.present):
            client.leave()


class Heard:
    """The client of one request under any other server: heard of through `receive()` only. Fits `gateway.relay.Client`."""

    paused = True

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._finished = False
        self.left = False

    def finished(self) -> None:
        self._finished = True

    def cut(self) -> None:
        """Nothing to do: a server must cut when the application returns without ending its answer."""
        self.stop_watching()

    def start_watching(self, on_leave: Callable[[], None]) -> None:
        self._listener = asyncio.create_task(
            self._listen(on_leave), name="front: listening for a client that leaves"
        )

    def stop_watching(self) -> None:
        if self._listener:
            self._listener.cancel()

    async def _listen(self, on_leave: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._finished:
            self.left = True
            on_leave()


class Watch:
    """A block that is cancelled when the client leaves, and then ends quietly, with `client.left` set."""

    __slots__ = ("_cancelling", "_task", "client")

    def __init__(self, client: Present | Heard) -> None:
        self.client = client

    async def __aenter__(self) -> Present | Heard:
        task = asyncio.current_task()
        assert task  # noqa: S101  an async with runs in one
        self._task = task
        self._cancelling = task.cancelling()
        self.client.start_watching(self._leave)
        return self.client

    def _leave(self) -> None:
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.client.stop_watching()
        if isinstance(error, ClientLeft):
            self.client.left = True
            return True
        if not self.client.left:
            return False
        # As in asyncio.timeout: somebody else's cancellation goes on.
        return self._task.uncancel() <= self._cancelling and isinstance(
            error, asyncio.CancelledError
        )


def request_id(scope: Scope) -> str:
    """The one that the client gave its request, else a new one."""
    given = headers.request_id(find(scope["headers"], b"x-request-id"))
    return given or secrets.token_hex(8)


def asked_for_websocket(scope: Scope) -> bool:
    """The client of this request asks for a WebSocket. Raises WebSocketUnavailable where its connection cannot be had for one."""
    if scope["method"] != "GET" or not asks_for_websocket(scope["headers"]):
        return False
    client = (scope.get("extensions") or {}).get(_EXTENSION)
    if client is None or not client.asks_for_websocket:
        raise WebSocketUnavailable(UNAVAILABLE)
    return True


def switched(scope: Scope) -> bool:
    """The connection of this request is another protocol's now."""
    client = (scope.get("extensions") or {}).get(_EXTENSION)
    return client is not None and client.switched


def watch(scope: Scope, receive: Receive) -> Watch:
    """`async with watch(scope, receive) as client:`, once the body has been read (`bodies.py`). `client` fits `gateway.relay.Client`."""
    extensions = scope.get("extensions") or {}
    return Watch(extensions.get(_EXTENSION) or Heard(receive))

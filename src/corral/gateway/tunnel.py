"""A connection handed through: once the engine has switched protocols, bytes go both ways as they come.

1. Until the 101 it is a request like any other: what goes wrong is an answer with a status and a body, and so is an engine that does not
   switch.
2. A side that cannot take more stops the reading of the other; nothing is kept here.
3. Who has said all still hears: an end of one direction is passed on as that, where the connection knows one (TLS does not).
4. A tunnel ends with its connections, after `idle` seconds without a byte, or when its task is cancelled; then both are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from corral.errors import CorralError, UpstreamTimeout, UpstreamUnreachable
from corral.gateway.ports import Answer, Headers, Outgoing, Switched, Upstream
from corral.gateway.relay import Client, Send, Tap, relay
from corral.wire.headers import answer_headers

LINGER = 30.0
"""Seconds that a connection has to take what was sent, and to end, once the other one has ended."""

_ASKED: Headers = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


@dataclass(frozen=True, slots=True)
class Line:
    """A connection to take over, and what came on it before. `on_lost` is to be told when it is gone; `full`: it takes no more for now."""

    transport: asyncio.Transport
    early: bytes
    on_lost: Callable[[Exception | None], None]
    full: bool = False


@runtime_checkable
class Switchable(Client, Protocol):
    """A client whose connection can be taken over as long as nothing has been sent."""

    def switch(self, protocol: asyncio.Protocol) -> Line:
        """From now on the connection is `protocol`'s. Raises ClientLeft."""
        ...


async def tunnel(
    send: Send,
    upstream: Upstream,
    request: Outgoing,
    client: Client,
    *,
    extra_headers: Headers | None,
    connect: float,
    idle: float,
    on_failure: Callable[[CorralError], bytes | None],
    tap: Tap | None = None,
) -> CorralError | None:
    """As `relay`, for a request that asks the engine for another protocol; returns when the tunnel is over.

    `client` is `Switchable`. `tap` sees the 101 and the bytes that went to the client.
    """
    assert isinstance(client, Switchable)  # noqa: S101  the server has refused the others
    request = replace(request, headers=[*request.headers, *_ASKED])
    async with contextlib.AsyncExitStack() as scope:
        asking = _Asking(upstream, scope)
        error = await relay(
            send,
            asking,
            request,
            client,
            extra_headers=extra_headers,
            connect=connect,
            idle=idle,
            on_failure=on_failure,
            tap=tap,
        )
        if asking.switched is None:
            return error
        passage = _Passage(idle, tap)
        try:
            return await passage.through(client, asking.switched, extra_headers or [])
        except asyncio.CancelledError:
            called_off = tap.called_off() if tap else None
            if called_off is None:
                raise
            return called_off
        finally:
            passage.close()


class _Asking:
    """An upstream whose exchange asks for the other protocol. When it switches there is no answer; until `scope` ends it stays so."""

    def __init__(self, upstream: Upstream, scope: contextlib.AsyncExitStack) -> None:
        self._upstream = upstream
        self._scope = scope
        self.switched: Switched | None = None

    async def exchange(
        self, request: Outgoing, answer: Answer, *, connect: float, idle: float
    ) -> None:
        switching = self.upgrade(request, answer, connect=connect, idle=idle)
        self.switched = await self._scope.enter_async_context(switching)

    def upgrade(
        self, request: Outgoing, answer: Answer, *, connect: float, idle: float
    ) -> AbstractAsyncContextManager[Switched | None]:
        return self._upstream.upgrade(request, answer, connect=connect, idle=idle)


class _Side(asyncio.Protocol):
    """One connection of two: what comes in here goes out at `other`."""

    def __init__(self, passage: _Passage) -> None:
        self._passage = passage
        self.line: Line | None = None
        self.full = False
        """It takes no more for now."""
        self.ended = False
        """Nothing more comes from it."""
        self.lost = False

    other: _Side

    @property
    def transport(self) -> asyncio.Transport:
        assert self.line  # noqa: S101  a side is given its line before anything can happen to it
        return self.line.transport

    def data_received(self, data: bytes) -> None:
        self._passage.passed(self, data)

    def eof_received(self) -> bool:
        """True where the connection can still be written to."""
        if not self.ended:
            self._passage.ended(self)
        return self.transport.can_write_eof()

    def pause_writing(self) -> None:
        self.full = True
        self.other.hold()

    def resume_writing(self) -> None:
        self.full = False
        self.other.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        self.lost = self.ended = True
        if self.line:
            self.line.on_lost(exc)
        self._passage.lost(self, exc)

    def hold(self) -> None:
        if not (self.ended or self.transport.is_closing()):
            self.transport.pause_reading()

    def go_on(self) -> None:
        if not (self.ended or self.other.full or self.transport.is_closing()):
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        """Nothing more will be written."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof() and not self.ended:
            self.transport.write_eof()
        else:
            self.transport.close()


class _Passage:
    """Both sides, the time, and the books."""

    def __init__(self, idle: float, tap: Tap | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle or math.inf
        self._tap = tap
        self._near, self._far = _Side(self), _Side(self)
        self._near.other, self._far.other = self._far, self._near
        self._over: asyncio.Future[CorralError | None] = self._loop.create_future()
        self._last = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self._error: CorralError | None = None

    async def through(
        self, client: Switchable, switched: Switched, extra: Headers
    ) -> CorralError | None:
        near, far = self._near, self._far
        near.line = line = client.switch(near)
        near.full = line.full
        far.line = Line(switched.transport, switched.early, lambda _: None)
        switched.transport.set_protocol(far)
        headers = _told(switched.headers, extra)
        near.write(_head(headers))
        if self._tap:
            self._tap.head(101, headers)
        for side, early in ((far, switched.early), (near, line.early)):
            if early:
                self.passed(side, early)
        if switched.transport.is_closing():  # it hung up before anybody could be told
            far.connection_lost(None)
        near.go_on()
        far.go_on()
        self._watch()
        return await self._over or self._error

    def close(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        for side in (self._near, self._far):
            if side.line:
                side.line.transport.abort()

    # --- what the sides tell -----------------------------------------------------------------------------------------

    def passed(self, side: _Side, data: bytes) -> None:
        self._last = self._loop.time()
        side.other.write(data)
        if side is self._far and self._tap:
            self._tap.chunk(data)

    def ended(self, side: _Side) -> None:
        """Nothing more comes from this side; when the other has ended too, that is all."""
        side.ended = True
        side.other.finish()
        if side.other.ended:
            side.transport.close()
        elif side is self._far:
            self._hurry()

    def lost(self, side: _Side, exc: Exception | None) -> None:
        if exc and side is self._far and not self._near.ended:
            self._error = UpstreamUnreachable(f"the engine hung up: {exc}")
        if self._near.lost and self._far.lost:
            if not self._over.done():
                self._over.set_result(None)
        elif not side.other.lost:
            side.other.transport.close()
            self._hurry()

    # --- time --------------------------------------------------------------------------------------------------------

    def _hurry(self) -> None:
        """What is left has `LINGER` seconds, and again after every byte."""
        self._idle = min(self._idle, LINGER)
        self._last = self._loop.time()
        self._watch()

    def _watch(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if self._over.done() or self._idle == math.inf:
            return
        due = self._last + self._idle
        if due > self._loop.time():
            self._alarm = self._loop.call_at(due, self._watch)
        elif self._far.ended or self._near.lost:
            self._over.set_result(None)
        else:
            error = UpstreamTimeout(f"no byte in either direction for {self._idle:g} s")
            self._over.set_result(error)


def _told(headers: Headers, extra: Headers) -> Headers:
    """The engine's headers for the client: what is said hop by hop is said again for this hop."""
    replaced = {name for name, _ in extra}
    kept = [header for header in answer_headers(headers) if header[0] not in replaced]
    return [*_ASKED, *kept, *extra]


def _head(headers: Headers) -> bytes:
    lines = [b"%b: %b" % header for header in headers]
    return b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *lines, b"", b""])

"""One connection to an engine: HTTP/1.1 on the client's side, one exchange at a time.

Laws:
1. The answer goes from the read callback to `Answer` at once; nothing is queued here.
2. An exchange ends exactly once: its `done` gets a result or an exception.
3. A connection rests (and may be used again) only after a complete answer to a completely sent request, with not one byte to spare.
4. What is wrong with an exchange ends its connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, Protocol

import httptools

from corral.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from corral.wire.headers import Headers


class Flow(Protocol):
    """The tap on an answer."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Answer(Protocol):
    """Where an answer goes. What it raises ends the exchange."""

    def head(self, status: int, headers: Headers, flow: Flow) -> None: ...

    def body(self, chunk: bytes) -> None: ...


# How far the answer has come. Plain numbers: looking up an Enum's member costs more than the rest of a callback.
_START: Final = 0
_INTERIM: Final = 1  # a 1xx before the real answer (RFC 9110 15.2)
_BODY: Final = 2
_END: Final = 3


class Exchange:
    """One request on one connection. It is the tap on its own answer: `pause` and `resume` mean nothing once it is over."""

    __slots__ = (
        "begun",
        "connection",
        "done",
        "head_only",
        "may_switch",
        "sent",
        "switched",
    )

    def __init__(
        self,
        connection: Connection,
        done: asyncio.Future[None],
        *,
        head_only: bool,
        may_switch: bool = False,
    ) -> None:
        self.connection = connection
        self.done = done
        self.head_only = head_only
        self.begun = False
        """Something of the answer has come."""
        self.sent = False
        """The whole request has been handed to the transport."""
        self.may_switch = may_switch
        self.switched: tuple[Headers, bytes] | None = None
        """A 101's headers and what came behind: from then on the connection speaks another protocol (RFC 9110 7.8)."""

    def pause(self) -> None:
        if self.connection.exchange is self:
            self.connection.hold()

    def resume(self) -> None:
        if self.connection.exchange is self:
            self.connection.let_go()


class Connection(asyncio.Protocol):
    """`on_rest` is called when it may be used again, `on_lost` when it is gone. `last` and `limit` say when it is overdue."""

    __slots__ = (
        "_answer",
        "_at",
        "_headers",
        "_held",
        "_idle",
        "_keep_alive",
        "_loop",
        "_name",
        "_on_lost",
        "_on_rest",
        "_parser",
        "_room",
        "_wait",
        "_write_paused",
        "exchange",
        "last",
        "limit",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        on_rest: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._name = name
        self._loop = loop
        self._on_rest = on_rest
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._at = _END
        self._headers: Headers = []
        self._keep_alive = False
        self._held = False
        self._write_paused = False
        self._room: asyncio.Future[None] | None = None
        self._answer: Answer | None = (
            None  # here, not in the exchange, which it holds: no circle per request
        )
        self.exchange: Exchange | None = None
        self.last = loop.time()
        self.limit = self._idle = self._wait = math.inf

    # --- the request ---

    def start(
        self,
        head: bytes,
        answer: Answer,
        *,
        head_only: bool,
        idle: float,
        wait: float = 0.0,
        whole: bool = True,
        may_switch: bool = False,
    ) -> Exchange:
        """Write a request's first bytes, which are all when it is `whole`; else `upload` the rest.

        `idle` and `wait` are seconds, 0: no limit; the second is for the head of the answer, from the request's last byte on.
        """
        self.exchange = exchange = Exchange(
            self, self._loop.create_future(), head_only=head_only, may_switch=may_switch
        )
        self._answer = answer
        self._at = _START
        self._idle = idle or math.inf
        self._wait = wait
        if whole:
            self._sent(exchange)
        else:
            self.limit = self._idle
        self.last = self._loop.time()
        self.transport.write(head)
        return exchange

    def _sent(self, exchange: Exchange) -> None:
        exchange.sent = True
        self.limit = self._idle
        if self._wait and self._at == _START:
            self.limit = min(self._wait, self._idle)

    async def upload(self, exchange: Exchange, chunks: AsyncIterator[bytes]) -> None:
        """Write the rest of a request no faster than the engine takes it; stop as soon as the exchange is over."""
        try:
            async for chunk in chunks:
                if exchange.done.done():
                    return
                self.transport.write(chunk)
                self.last = self._loop.time()
                if self._write_paused:
                    self._room = self._loop.create_future()
                    await self._room
            if not exchange.done.done():
                self._sent(exchange)
        finally:
            self._room = None
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def abandon(self, exchange: Exchange) -> None:
        """Nobody waits for this exchange any more: close its connection, unless it is over already."""
        if self.exchange is exchange:
            self._end_exchange()
            self.transport.abort()
        if not exchange.done.cancel() and not exchange.done.cancelled():
            exchange.done.exception()  # seen: nobody else will look

    def fail(self, error: Exception) -> None:
        """End the exchange with an error, and the connection with it."""
        exchange = self._end_exchange()
        if exchange and not exchange.done.done():
            exchange.done.set_exception(error)
        self.transport.abort()

    def expire(self) -> None:
        """`limit` seconds have gone by without a byte in either direction."""
        what = "byte in either direction for" if self.limit == self._idle else "answer within"
        self.fail(UpstreamTimeout(f"{self._name}: no {what} {self.limit:g} s"))

    def _end_exchange(self) -> Exchange | None:
        exchange, self.exchange, self._answer = self.exchange, None, None
        self._make_room()
        return exchange

    # --- back-pressure ---

    def hold(self) -> None:
        if not self._held and not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def let_go(self) -> None:
        if self._held and not self.transport.is_closing():
            self._held = False
            self.last = self._loop.time()
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self.last = self._loop.time()
        self._make_room()

    def _make_room(self) -> None:
        if self._room and not self._room.done():
            self._room.set_result(None)

    # --- the transport's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is a Transport by its methods only

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # an engine that speaks without being asked
            self.transport.abort()
            return
        exchange.begun = True
        self.last = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._at != _END:
                self._invalid(f"does not speak HTTP: {error}")
            self._keep_alive = False
        except httptools.HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
            return
        if self._at == _END:
            self._complete()

    def _switched(self, early: bytes) -> None:
        """What comes is no HTTP any more: nothing is read until somebody else has taken over."""
        if exchange := self._end_exchange():
            self.transport.pause_reading()
            exchange.switched = self._headers, early
            exchange.done.set_result(None)

    def eof_received(self) -> None:
        if self._at == _BODY and self._ends_with_connection():
            self._keep_alive = False
            self._complete()
        else:
            self._hung_up(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hung_up(exc)
        self._on_lost(self)

    def _hung_up(self, exc: Exception | None) -> None:
        if self.exchange:
            how = f": {exc}" if exc else ""
            self.fail(
                UpstreamUnreachable(
                    f"{self._name}: its server hung up before the answer was complete{how}"
                )
            )

    def _ends_with_connection(self) -> bool:
        return not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in self._headers
        )

    def _invalid(self, what: str) -> None:
        self.fail(UpstreamInvalid(f"{self._name}: the server {what}"))

    def _complete(self) -> None:
        exchange = self._end_exchange()
        if exchange is None:
            return
        if exchange.sent and self._keep_alive:
            self._rest(exchange)
        else:
            self.transport.abort()
        if not exchange.done.done():
            exchange.done.set_result(None)

    def _rest(self, exchange: Exchange) -> None:
        if exchange.head_only:  # the old parser waits for a body that never comes
            self._parser = httptools.HttpResponseParser(self)
        self.let_go()
        self._on_rest(self)

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        if self._at == _END:
            self._keep_alive = False  # more than was asked for
        else:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._at != _BODY:  # not the trailers (RFC 9110 6.5): they may be dropped
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.exchange is None or self._at == _END:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._at = _INTERIM
        elif 200 <= status < 600:
            self._at = _BODY
            self._hand_over_head(self.exchange, status)
        elif status != 101:
            self._invalid(f"answered with status {status}")
        elif not (self.exchange.may_switch and self._parser.should_upgrade()):
            self._invalid("switched protocols unasked")

    def _hand_over_head(self, exchange: Exchange, status: int) -> None:
        self.limit = self._idle
        if self._answer:
            try:
                self._answer.head(status, self._headers, exchange)
            except Exception as error:  # noqa: BLE001  whatever it is, it belongs to the exchange, not to the parser
                self.fail(error)
        if exchange.head_only:
            self._keep_alive = self._parser.should_keep_alive()
            self._at = _END

    def on_body(self, chunk: bytes) -> None:
        if self._at != _BODY:
            self._keep_alive = False
        elif self._answer:
            try:
                self._answer.body(chunk)
            except Exception as error:  # noqa: BLE001  as above
                self.fail(error)

    def on_message_complete(self) -> None:
        if self._at == _INTERIM:
            self._at = _START
        elif self._at == _BODY:
            self._at = _END
            self._keep_alive = self._parser.should_keep_alive()

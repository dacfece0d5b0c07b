"""The way to an engine: its address, and its keep-alive connections.

Laws:
1. The last connection to rest is the first to be used again; one that rests for `timeouts.idleConn` is closed.
2. A used connection may have gone stale: when it ends before anything of the answer has come, the request is sent once more, on a fresh one.
3. One timer for all of an engine's connections, set for the nearest due time; a byte only notes when it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from corral.config.relaying import Timeouts
from corral.errors import UpstreamUnreachable
from corral.host.address import Address
from corral.host.connection import Answer, Connection
from corral.host.dialing import Way
from corral.host.proxies import Proxy
from corral.wire.headers import Headers

DEFAULTS = Timeouts()

BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"})


class Body(Protocol):
    @property
    def size(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class Request(Protocol):
    @property
    def method(self) -> bytes: ...

    @property
    def target(self) -> bytes: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def body(self) -> bytes | Body: ...


@dataclass(frozen=True, slots=True)
class Switched:
    """A connection that speaks another protocol from now on: the 101's headers, what came behind them, and the rest of it, unread."""

    headers: Headers
    early: bytes
    transport: asyncio.Transport


class Engine:
    """One engine's address with its keep-alive connections.

    `proxy_url` as in `Address.parse` (raises ValueError); `name` is for messages; `tls` replaces the system's trust for `https`.
    `proxy` is on the way to it. `own_headers` (lower case) replace the client's of the same name. `timeouts` may be replaced at any
    time; `connect` and `idle` of them are said with every exchange.
    """

    def __init__(
        self,
        proxy_url: str,
        *,
        name: str,
        tls: ssl.SSLContext | None = None,
        timeouts: Timeouts = DEFAULTS,
        proxy: Proxy | None = None,
        own_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        address = Address.parse(proxy_url)
        self._way = Way(name, address, proxy, tls)
        self._authority = address.authority
        self._base = address.base
        self._own = list(own_headers)
        if proxy and not address.tls:  # RFC 9112 3.2.2: the proxy needs the whole URL
            self._base = b"http://" + address.authority + address.base
            self._own += proxy.headers
        self._owned = frozenset(name for name, _ in self._own)
        self._name = name
        self.timeouts = timeouts
        self._open: set[Connection] = set()
        self._idle: dict[
            Connection, None
        ] = {}  # an ordered set: last in, first out, and O(1) to leave
        self._switched: set[asyncio.Transport] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._keeps = True
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.busy} busy, {len(self._idle)} idle"
        return f"<Engine {self._name} {self._way}: {state}>"

    @property
    def busy(self) -> int:
        """Exchanges and tunnels under way."""
        return len(self._open) - len(self._idle) + len(self._switched)

    async def exchange(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> None:
        """Send the request, hand over the answer as it comes, return when it is complete.

        `connect` and `idle` are seconds, 0: no limit (`idle`: without a byte in either direction). Raises UpstreamUnreachable,
        UpstreamInvalid or UpstreamTimeout, before or after `answer.head`; or what `answer` raised. Cancelling it closes the connection.
        """
        head = self._head(request)
        if self._idle:
            connection, _ = self._idle.popitem()
            if await self._run(connection, head, request, answer, idle, used=True):
                return
        connection = await self._connect(connect)
        await self._run(connection, head, request, answer, idle, used=False)

    async def _run(
        self,
        connection: Connection,
        head: bytes,
        request: Request,
        answer: Answer,
        idle: float,
        *,
        used: bool,
    ) -> bool:
        """False when a used connection turned out to be stale."""
        body = request.body
        exchange = connection.start(
            head,
            answer,
            head_only=request.method == b"HEAD",
            idle=idle,
            wait=self.timeouts.response_header,
            whole=isinstance(body, bytes),
        )
        self._note(connection)
        try:
            if not isinstance(body, bytes):
                await connection.upload(exchange, body.chunks())
                self._note(connection)
            await exchange.done
        except UpstreamUnreachable:
            if not used or exchange.begun or self._closed:
                raise
            return False
        except BaseException:
            connection.abandon(exchange)
            raise
        return True

    @contextlib.asynccontextmanager
    async def upgrade(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> AsyncIterator[Switched | None]:
        """As `exchange`, for a request without a body that asks for another protocol: always on a fresh connection.

        Inside the block the engine speaks that protocol; whoever takes over has the transport read on. None: it would not, and its
        answer has been handed over like any other. The connection ends with the block.
        """
        connection = await self._connect(connect)
        head, wait = self._head(request), self.timeouts.response_header
        exchange = connection.start(
            head, answer, head_only=False, idle=idle, wait=wait, may_switch=True
        )
        self._note(connection)
        try:
            await exchange.done
        except BaseException:
            connection.abandon(exchange)
            raise
        if exchange.switched is None:
            yield None
            return
        transport = connection.transport
        self._open.discard(connection)
        self._switched.add(transport)
        try:
            yield Switched(*exchange.switched, transport)
        finally:
            self._switched.discard(transport)
            transport.abort()

    def _head(self, request: Request) -> bytes:
        """Everything up to the body, and the body too when it is in memory."""
        headers, body = request.headers, request.body
        if self._owned:
            headers = [header for header in headers if header[0] not in self._owned] + self._own
        lines = [b"%b %b%b HTTP/1.1" % (request.method, self._base, request.target)]
        hosted = False
        for name, value in headers:
            lines.append(b"%b: %b" % (name, value))
            hosted = hosted or name == b"host"
        if not hosted:
            lines.append(b"host: " + self._authority)
        size = len(body) if isinstance(body, bytes) else body.size
        if size or request.method not in BODILESS:
            lines.append(b"content-length: %d" % size)
        lines.append(b"\r\n" + body if isinstance(body, bytes) else b"\r\n")
        return b"\r\n".join(lines)

    # --- connections ---

    async def _connect(self, limit: float) -> Connection:
        self._refuse_when_closed()
        connection = await self._way.dial(self._fresh, self.timeouts, limit)
        self._open.add(connection)
        try:
            self._refuse_when_closed()  # closed while it was being made
        except UpstreamUnreachable:
            connection.transport.abort()
            raise
        return connection

    def _fresh(self) -> Connection:
        return Connection(self._name, asyncio.get_running_loop(), self._rested, self._lost)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise self._stopped()

    def _stopped(self) -> UpstreamUnreachable:
        return UpstreamUnreachable(f"{self._name}: its server has been stopped")

    def _rested(self, connection: Connection) -> None:
        if not self._keeps:
            connection.transport.abort()
            return
        connection.limit = self.timeouts.idle_conn or math.inf
        self._idle[connection] = None
        self._note(connection)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if not self._open and self._emptied and not self._emptied.done():
            self._emptied.set_result(None)

    def retire(self) -> None:
        """Keep no connection any more: what is under way goes on, and what still comes is served."""
        self._keeps = False
        for connection in list(self._idle):
            connection.transport.abort()

    async def aclose(self) -> None:
        """Close every connection; exchanges still running end with UpstreamUnreachable. Returns when the sockets are closed."""
        self._closed = True
        for transport in list(self._switched):
            transport.abort()
        if self._timer:
            self._timer.cancel()
        for connection in list(self._open):
            connection.fail(self._stopped())
        if self._open:
            self._emptied = self._emptied or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    # --- time ---

    def _note(self, connection: Connection) -> None:
        due = connection.last + connection.limit
        if due < self._due:
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._due = due
        self._timer = (
            None if due == math.inf else asyncio.get_running_loop().call_at(due, self._sweep)
        )

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            if connection.last + connection.limit <= now:
                connection.expire()
        alive = [connection for connection in self._open if not connection.transport.is_closing()]
        self._set_timer(
            min((connection.last + connection.limit for connection in alive), default=math.inf)
        )

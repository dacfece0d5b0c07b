"""A fresh connection to an address: TCP or a UNIX socket, through a proxy if need be, with TLS if need be.

1. What is wrong is told in one line that says what to look at: the host's name, who listens there, its certificate.
2. TCP connects (and a proxy answers) within `connect`, TLS is agreed on within `timeouts.tlsHandshake`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from corral.config.relaying import Timeouts
from corral.errors import UpstreamTimeout, UpstreamUnreachable
from corral.host.address import Address
from corral.host.connection import Connection
from corral.host.proxies import Proxy, joined
from corral.host.trust import trusted

_DAY = 86_400.0
_LONGEST_REPLY = 65_536
_SHOWN = 200
# How often an unanswered probe is repeated is the system's business; so are the options, which have no name on some.
_PROBE_OPTIONS = ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL")


@dataclass(frozen=True, slots=True)
class Way:
    """How an address is reached. `tls` replaces the system's trust; `name` is for messages."""

    name: str
    address: Address
    proxy: Proxy | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def dial(
        self, make: Callable[[], Connection], timeouts: Timeouts, connect: float
    ) -> Connection:
        """Raises UpstreamUnreachable or UpstreamTimeout."""
        try:
            return await self._dial(make, timeouts, connect)
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable(
                f"{self.name}: cannot connect to {self}: {reason(error)}"
            ) from error

    def __str__(self) -> str:
        return f"{self.address} through {self.proxy}" if self.proxy else str(self.address)

    async def _dial(
        self, make: Callable[[], Connection], timeouts: Timeouts, connect: float
    ) -> Connection:
        connection = make()
        async with self._within(connect, "no connection to"):
            transport = await self._open(connection, timeouts)
        if self.address.tls:
            async with self._within(timeouts.tls_handshake, "no TLS handshake with"):
                transport = await self._secured(transport, connection, self.address.host)
        connection.transport = transport
        return connection

    @contextlib.asynccontextmanager
    async def _within(self, seconds: float, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds or None):
                yield
        except TimeoutError:
            raise UpstreamTimeout(f"{self.name}: {what} {self} within {seconds:g} s") from None

    async def _open(self, connection: Connection, timeouts: Timeouts) -> asyncio.Transport:
        """A transport on which the address answers, TLS aside."""
        loop, address, proxy = asyncio.get_running_loop(), self.address, self.proxy
        if address.path:
            if sys.platform != "win32":
                return (await loop.create_unix_connection(lambda: connection, address.path))[0]
            raise OSError("this system has no UNIX sockets")
        if proxy and proxy.problem:
            raise OSError(proxy.problem)
        first: asyncio.Protocol = connection
        reply = None
        if proxy and address.tls:
            first = reply = _Reply()
        host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
        transport: asyncio.Transport = (await loop.create_connection(lambda: first, host, port))[0]
        _probe(transport, timeouts.keepalive)
        if proxy and proxy.tls:
            transport = await self._secured(transport, first, proxy.host)
        if proxy and reply:
            await _pass(transport, reply, address, proxy)
        return transport

    async def _secured(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, host: str
    ) -> asyncio.Transport:
        """The transport inside TLS. Who waits sets the limit; the loop's own is put behind it."""
        secured = await asyncio.get_running_loop().start_tls(
            transport,
            protocol,
            self.tls or trusted(),
            server_hostname=host,
            ssl_handshake_timeout=_DAY,
        )
        if secured is None:
            raise ConnectionResetError("it hung up during the TLS handshake")
        return secured


class _Reply(asyncio.Protocol):
    """Waits for the head of a proxy's answer."""

    def __init__(self) -> None:
        self._came = b""
        self.head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, ended, _ = self._came.partition(b"\r\n\r\n")
        if (ended or len(head) > _LONGEST_REPLY) and not self.head.done():
            self.head.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  as it is called
        if not self.head.done():
            self.head.set_result(b"")


async def _pass(
    transport: asyncio.Transport, reply: _Reply, address: Address, proxy: Proxy
) -> None:
    """Have the proxy connect to the address (RFC 9110 9.3.6)."""
    target = joined(address.host, address.port).encode("idna")
    lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: " + target]
    lines += [b"%b: %b" % header for header in proxy.headers]
    transport.write(b"\r\n".join([*lines, b"", b""]))
    try:
        status = (await reply.head).partition(b"\r\n")[0].decode("latin-1")
    except BaseException:
        transport.abort()
        raise
    version, _, answer = status.partition(" ")
    if not (version.startswith("HTTP/1.") and answer.startswith("2")):
        transport.abort()
        told = f"answered {(answer or status)[:_SHOWN]!r}" if status else "hung up"
        raise OSError(f"the proxy {told}")


def _probe(transport: asyncio.Transport, seconds: float) -> None:
    """TCP keep-alive probes that far apart; 0 leaves it to the system."""
    bare = transport.get_extra_info("socket")
    if not seconds or bare is None:
        return
    with contextlib.suppress(OSError):  # it is gone already, or the system wants another number
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in _PROBE_OPTIONS:
            if (option := getattr(socket, name, None)) is not None:
                bare.setsockopt(socket.IPPROTO_TCP, option, max(1, round(seconds)))


def reason(error: Exception) -> str:
    """Why a connection was not made, for people."""
    match error:
        case socket.gaierror():
            return f"its host is not known ({error.strerror})"
        case ConnectionRefusedError():
            return "nobody listens there"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return str(error) or type(error).__name__

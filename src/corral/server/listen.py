"""The listening side: sockets bound before anything else starts, and a uvicorn that leaves signals to corral."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence

import uvicorn

from corral.server.app import App
from corral.server.front import Front

BACKLOG = 2048
TRIES = 10
"""The port that the system picked for one address may be taken on another."""
GOODBYE = 5
"""Seconds for connections to close once nothing is left to answer."""
KEEP_ALIVE = 75
"""Seconds that a client's idle connection is kept."""
Address = tuple[socket.AddressFamily, str]
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""`localhost` is `::1` too where a container has no IPv6: one address less is no failure."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address that `host` names and this machine has; an empty host is every interface. Raises OSError.

    With port 0 the system picks one, the same for all addresses.
    """
    if not host and socket.has_dualstack_ipv6():
        family = socket.AF_INET6
        return [
            socket.create_server(("", port), family=family, dualstack_ipv6=True, backlog=BACKLOG)
        ]
    addresses = _addresses(host, port)
    for _ in range(0 if port else TRIES):
        try:
            return _bound(addresses, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _bound(addresses, port)


def _bound(addresses: Iterable[Address], port: int) -> list[socket.socket]:
    missing: OSError | None = None
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for family, address in addresses:
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                bound = socket.create_server((address, chosen), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error
            else:
                sockets.append(undo.enter_context(bound))
        undo.pop_all()
    if missing and not sockets:
        raise missing
    return sockets


def _addresses(host: str, port: int) -> dict[Address, None]:
    found = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)


def url(sockets: Sequence[socket.socket], tls: tuple[str, str] | None) -> str:
    """Where this machine reaches the first of `sockets`."""
    host, port = sockets[0].getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{shown}]' if ':' in shown else shown}:{port}"


class Server(uvicorn.Server):
    """uvicorn swallows a second SIGTERM; corral owns the signals instead. `tls` is (certificate file, key file); `ready` is called when it
    accepts connections."""

    def __init__(self, app: App, tls: tuple[str, str] | None, ready: Callable[[], None]) -> None:
        super().__init__(_settings(app, tls))
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _settings(app: App, tls: tuple[str, str] | None) -> uvicorn.Config:
    certificate, key = tls or (None, None)
    return uvicorn.Config(
        app,
        http=Front,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        date_header=False,  # the engine's answers have one
        server_header=False,
        proxy_headers=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GOODBYE,
    )

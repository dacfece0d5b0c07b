"""The other machines that answer for some models: how each is reached, and which of them are down.

1. A peer that could not be reached, or said nothing in time, counts as down for a while that grows with every further failure; the head
   of any answer ends that. Nobody asks a peer anything on corral's own account.
2. Down is advice: whoever asks a peer nevertheless finds out how it is now.
3. A peer that keeps its address and key keeps its connections across a reload; one that loses them finishes what is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from corral.config.remote import Peer
from corral.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from corral.host.address import Address
from corral.host.connection import Answer, Flow
from corral.host.proxies import Proxy, proxy_for
from corral.host.upstream import Engine, Request, Switched
from corral.wire.headers import Headers

BACKOFF = (1, 2, 5, 15, 60)
"""Seconds that a peer counts as down after the 1st, 2nd, ... failure in a row; the last number repeats."""

_FAILURES = (UpstreamUnreachable, UpstreamTimeout, UpstreamInvalid)

log = logging.getLogger("corral.peers")


class Remote:
    """One peer. Fits `gateway.ports.Upstream`."""

    def __init__(self, name: str, row: Peer, environment: Mapping[str, str]) -> None:
        self.row = row
        self._name = name
        self._failures = 0
        self._down_until = 0.0
        address = Address.parse(row.proxy)
        self._engine = Engine(
            row.proxy,
            name=f"peer {name}",
            timeouts=row.timeouts,
            proxy=_proxy(address, environment),
            own_headers=_own(address, row.api_key),
        )

    def __repr__(self) -> str:
        return f"<Remote {self._name}: {self._failures} failures, {self._engine!r}>"

    @property
    def available(self) -> bool:
        return asyncio.get_running_loop().time() >= self._down_until

    @property
    def busy(self) -> int:
        return self._engine.busy

    def follows(self, row: Peer) -> bool:
        """Adopt what may change without another connection. False: it is another peer now."""
        if (row.proxy, row.api_key) != (self.row.proxy, self.row.api_key):
            return False
        self.row, self._engine.timeouts = row, row.timeouts
        return True

    async def exchange(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> None:
        """As `Engine.exchange`."""
        heard = _Heard(self, answer)
        try:
            await self._engine.exchange(request, heard, connect=connect, idle=idle)
        except _FAILURES as error:
            self._failed(error, heard)
            raise

    @asynccontextmanager
    async def upgrade(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> AsyncIterator[Switched | None]:
        """As `Engine.upgrade`."""
        heard = _Heard(self, answer)
        try:
            async with self._engine.upgrade(request, heard, connect=connect, idle=idle) as switched:
                heard.note()
                yield switched
        except _FAILURES as error:
            self._failed(error, heard)
            raise

    def retire(self) -> None:
        self._engine.retire()

    async def aclose(self) -> None:
        await self._engine.aclose()

    def answered(self) -> None:
        """It is there."""
        if self._failures:
            self._failures, self._down_until = 0, 0.0
            log.info("peer %s answers again", self._name)

    def _failed(self, error: Exception, heard: _Heard) -> None:
        """Of requests that fail together only the first one counts."""
        if heard.yes or not self.available:
            return
        pause = BACKOFF[min(self._failures, len(BACKOFF) - 1)]
        self._failures += 1
        self._down_until = asyncio.get_running_loop().time() + pause
        log.warning("%s; passed over for %g s where there is somebody else", error, pause)


class _Heard:
    """An answer that tells when its head comes. Its body goes on unseen."""

    __slots__ = ("_answer", "_remote", "body", "yes")

    def __init__(self, remote: Remote, answer: Answer) -> None:
        self._remote = remote
        self._answer = answer
        self.body = answer.body
        self.yes = False

    def head(self, status: int, headers: Headers, flow: Flow) -> None:
        self.note()
        self._answer.head(status, headers, flow)

    def note(self) -> None:
        self.yes = True
        self._remote.answered()


class Peers:
    """A scope: every peer of the configuration, `aclose`d when it is left. `environment` names the proxies on the way. Fits
    `gateway.ports.Peers`."""

    def __init__(self, peers: Mapping[str, Peer], environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._remotes: dict[str, Remote] = {}
        self._leaving: set[Remote] = set()
        self.adopt(peers)

    def __repr__(self) -> str:
        return f"<Peers: {', '.join(map(repr, self._remotes.values()))}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def adopt(self, peers: Mapping[str, Peer]) -> None:
        """From now on these are the peers."""
        before, self._remotes = self._remotes, {}
        for name, row in peers.items():
            known = before.get(name)
            if known and known.follows(row):
                self._remotes[name] = before.pop(name)
            else:
                self._remotes[name] = Remote(name, row, self._environment)
        for remote in before.values():
            remote.retire()
        self._leaving = {one for one in (*self._leaving, *before.values()) if one.busy}

    def upstream(self, peer: str) -> Remote:
        """Where a peer answers. Raises UpstreamUnreachable when the configuration no longer names it."""
        try:
            return self._remotes[peer]
        except KeyError:
            raise UpstreamUnreachable(f"peer {peer} is not configured any more") from None

    def available(self, peer: str) -> bool:
        """False for a while after it could not be reached."""
        remote = self._remotes.get(peer)
        return remote is not None and remote.available

    async def aclose(self) -> None:
        """Close every connection; requests still under way end with UpstreamUnreachable."""
        for remote in (*self._remotes.values(), *self._leaving):
            await remote.aclose()


def _own(address: Address, key: str) -> Headers:
    """What every request to a peer says, whatever the client said: for whom it is, and who is asking."""
    headers = [(b"host", address.authority)]
    if key:
        secret = key.encode()
        headers += [(b"authorization", b"Bearer " + secret), (b"x-api-key", secret)]
    return headers


def _proxy(address: Address, environment: Mapping[str, str]) -> Proxy | None:
    if address.path:
        return None
    return proxy_for(address.host, address.port, tls=address.tls, environment=environment)

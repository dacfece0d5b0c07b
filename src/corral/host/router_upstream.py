"""A model's server, reached through its router.

1. The query gets `autoload=false`: a request that comes too late must not make the router load anything. One without a body gets `model=` too, in
   place of what the client wrote there; with a body the router reads `model` in its JSON. (`useModelName` puts it there on model routes. Who else
   posts, to `/slots/0?action=save` for one, has to write `model` into the JSON, even where the server does not look at it.)
2. A server that dies takes its router's connection along; the router ends the answer as if it were whole, with `proxy error: ...` as its
   last piece. Here that is what it is: UpstreamUnreachable.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from corral.config.relaying import Timeouts
from corral.errors import UpstreamUnreachable
from corral.host.connection import Answer, Flow
from corral.host.upstream import BODILESS, Body, Engine, Request, Switched
from corral.wire.headers import Headers
from corral.wire.pairs import decode, encode

BROKEN: Final = b"proxy error: "
"""How a router begins to say that a server has gone."""
LONGEST: Final = 500
"""Bytes of such a reason."""
FAILED: Final = 500
"""What it answers when that was before the answer's head."""


@dataclass(frozen=True, slots=True)
class _Aimed:
    """A request as the router wants it."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | Body


class RoutedUpstream:
    """The model `there` of the router at `proxy`. To the gateway it is what `Engine` is; `name` is for messages."""

    def __init__(self, proxy: str, there: str, *, name: str, timeouts: Timeouts) -> None:
        self._engine = Engine(proxy, name=name, timeouts=timeouts)
        self._name = name
        self._model = b"model=" + encode(there)

    def __repr__(self) -> str:
        return f"<RoutedUpstream {self._model.decode()} {self._engine!r}>"

    @property
    def timeouts(self) -> Timeouts:
        return self._engine.timeouts

    @timeouts.setter
    def timeouts(self, timeouts: Timeouts) -> None:
        self._engine.timeouts = timeouts

    async def exchange(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> None:
        """As `Engine.exchange`."""
        heard = _Heard(self._name, answer)
        await self._engine.exchange(self._aimed(request), heard, connect=connect, idle=idle)
        heard.end()

    @contextlib.asynccontextmanager
    async def upgrade(
        self, request: Request, answer: Answer, *, connect: float, idle: float
    ) -> AsyncIterator[Switched | None]:
        """As `Engine.upgrade`."""
        aimed = self._aimed(request)
        async with self._engine.upgrade(aimed, answer, connect=connect, idle=idle) as switched:
            yield switched

    async def aclose(self) -> None:
        await self._engine.aclose()

    def _aimed(self, request: Request) -> _Aimed:
        path, _, query = request.target.partition(b"?")
        names = {b"autoload"}
        pairs = [b"autoload=false"]
        if request.method in BODILESS:
            names.add(b"model")
            pairs.append(self._model)
        kept = [pair for pair in query.split(b"&") if pair and _name(pair) not in names]
        target = path + b"?" + b"&".join([*kept, *pairs])
        return _Aimed(request.method, target, request.headers, request.body)


def _name(pair: bytes) -> bytes:
    return decode(pair.partition(b"=")[0]).encode()


class _Heard:
    """Law 2: an answer whose pieces are looked at. The head of a failure is kept back until its reason comes."""

    __slots__ = ("_answer", "_begun", "_held", "_name")

    def __init__(self, name: str, answer: Answer) -> None:
        self._name = name
        self._answer = answer
        self._held: tuple[int, Headers, Flow] | None = None
        self._begun = b""
        """A piece that may be the beginning of the last one."""

    def head(self, status: int, headers: Headers, flow: Flow) -> None:
        if status == FAILED:
            self._held = (status, headers, flow)
        else:
            self._answer.head(status, headers, flow)

    def body(self, chunk: bytes) -> None:
        text = self._begun + chunk if self._begun else chunk
        if _may_be_the_end(text):
            self._begun = text
            return
        self._begun = b""
        self._pass(text)

    def end(self) -> None:
        """That was all. Raises UpstreamUnreachable when it was not the server that ended it."""
        if self._begun.startswith(BROKEN):
            why = self._begun.removeprefix(BROKEN).decode("utf-8", "replace").strip().lower()
            raise UpstreamUnreachable(f"{self._name}: its server is gone, says its router: {why}")
        self._pass(self._begun)

    def _pass(self, text: bytes) -> None:
        if self._held:
            held, self._held = self._held, None
            self._answer.head(*held)
        if text:
            self._answer.body(text)


def _may_be_the_end(text: bytes) -> bool:
    """One line, and nothing behind it."""
    if not text.startswith(BROKEN):
        return BROKEN.startswith(text)
    return len(text) < LONGEST and b"\n" not in text

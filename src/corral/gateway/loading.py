"""Telling a client that waits for its model how things go, in the stream that its answer will come in (`sendLoadingState`).

Laws:
1. What is decided within `GRACE` - a refusal, or that there is nothing to wait for - is answered as always, with its own status.
2. Telling holds nobody up: a client that takes nothing delays itself alone, and the first token waits for no pace.
3. Once told, always told: a failure is the dialect's event in the stream, then the cut (as the relay's third law has it).
4. What is told is not the engine's: those who keep books see the head, then the engine's bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from corral.dialects.loading import Tell, Wait
from corral.errors import CorralError
from corral.gateway.engine import Engine, Lease
from corral.gateway.exchange import Exchange
from corral.gateway.ports import Headers
from corral.gateway.relay import Client, ClientLeft, Send, broken_off, within_idle
from corral.scheduler.machine import State

GRACE = 0.1
"""Seconds before the first byte."""
PACE = 0.75
"""Seconds between two signs of life."""
TIME_EVERY = 20
"""Signs of life between two that give the time."""
_RULE = "━" * 12
_HEAD: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Banner:
    """Tells one client about one lease, from `through` until `over`. `idle` is how many seconds a client may take nothing."""

    def __init__(
        self,
        tell: Tell,
        engine: Engine,
        lease: Lease,
        exchange: Exchange,
        send: Send,
        client: Client,
        idle: float,
    ) -> None:
        created = int(exchange.began)
        self._wait = Wait(f"chatcmpl-{exchange.request_id}", exchange.requested, created)
        self._tell_it = tell
        self._engine = engine
        self._lease = lease
        self._exchange = exchange
        self._send = send
        self._client = client
        self._idle = idle
        self._since = engine.now()
        self._place: int | None = 1
        self._over = asyncio.Event()
        self._admitted = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    async def through(
        self,
        passing: Callable[[Banner], Awaitable[CorralError | None]],
        on_failure: Callable[[CorralError], bytes | None],
    ) -> CorralError | None:
        """Tell while `passing` waits for the lease, which says when by `over`, and then relays. Raises what it raises, as long as nothing
        was told."""
        self._task = asyncio.create_task(self._tell(), name=f"loading: {self._lease!r}")
        try:
            try:
                return await passing(self)
            except asyncio.CancelledError:
                error = self._exchange.called_off() if self._begun else None
                if error is None:
                    raise
                raise error from None
        except CorralError as error:
            self._over.set()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self._begun:
                raise
            await broken_off(
                self._send, self._client, error, idle=self._idle, on_failure=on_failure
            )
            return error
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def over(self) -> bool:
        """The lease is there: nothing more is told. True when the answer has begun."""
        self._admitted = True
        self._over.set()
        try:
            if self._task:
                await self._task
        except OSError as error:  # as in the relay
            raise ClientLeft from error
        return self._begun

    # --- telling ---

    async def _tell(self) -> None:
        if await self._within(GRACE):
            return
        await self._begin()
        signs = 0
        while not await self._within(PACE):
            signs += 1
            await self._say(self._news() or self._sign(signs))
        if self._admitted:
            await self._say(f"\nDone! ({self._seconds():.2f}s)\n{_RULE}\n")

    async def _begin(self) -> None:
        self._begun = True
        head = [
            *_HEAD,
            (b"x-request-id", self._exchange.request_id.encode()),
            (b"x-corral-model", self._lease.model.encode()),
            *self._exchange.told,
        ]
        await self._hand({"type": "http.response.start", "status": 200, "headers": head})
        self._exchange.head(200, head)
        await self._say(f"{_RULE}\nloading model {self._lease.model}\n{self._news()}")

    def _news(self) -> str:
        """Its place in the queue, when that is another one; the first is worth a word only to those who had a later one."""
        place = self._engine.machine.position(self._lease.request)
        if place is None or place == self._place:
            return ""
        self._place = place
        return f"\nqueue position: #{place}\n"

    def _sign(self, count: int) -> str:
        return "." if count % TIME_EVERY else f" {self._seconds():.0f} s\n"

    def _seconds(self) -> float:
        return self._engine.now() - self._since

    async def _say(self, text: str) -> None:
        piece = self._tell_it(text, self._wait)
        await self._hand({"type": "http.response.body", "body": piece, "more_body": True})

    async def _hand(self, message: dict[str, object]) -> None:
        await within_idle(self._send, message, self._client, self._idle)

    async def _within(self, seconds: float) -> bool:
        """Wait so long, or until it is over; whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass
        return self._over.is_set()


def banner(
    engine: Engine, lease: Lease, exchange: Exchange, send: Send, client: Client, idle: float
) -> Banner | None:
    """One for a client that asked for a stream that can tell, from a model that is not ready."""
    endpoint = exchange.endpoint
    if not exchange.stream or endpoint is None or endpoint.waiting is None:
        return None
    if engine.machine.state(lease.model) is State.READY:
        return None
    return Banner(endpoint.waiting, engine, lease, exchange, send, client, idle)

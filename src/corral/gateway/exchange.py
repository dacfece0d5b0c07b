"""One request for a model and its answer, as those who keep books see it: activity, captures, metrics, who is in flight.

1. What an exchange knows is filled in as it becomes known, in the order of its fields; nothing is taken back.
2. It is opened once and closed once, answered or not; between the two it is in `Ledger.in_flight`.
3. Nobody who keeps books can fail a request: what an observer raises is logged.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from corral.dialects.endpoints import Endpoint
from corral.dialects.usage import Usage, UsageTap
from corral.errors import CorralError
from corral.gateway.ports import Body, Headers
from corral.wire.headers import find

log = logging.getLogger("corral.ledger")

LEFT: Final = 499
"""What is noted as the status of a request whose client left before it got one: nginx's number for it."""

Feed = Callable[[bytes], None]


@dataclass(slots=True, eq=False)
class Exchange:
    """Times ending in `_at` are the loop's, `began` is epoch seconds. Fits `relay.Tap`.

    The request's side is known when it is opened, `requested` to `load_ms` once its model has been found and leased, the rest when the
    answer comes. `headers` hold what the client sent, secrets too: whoever shows them leaves those out.
    """

    method: str
    path: str
    """Decoded, without query; as the engine sees it, that is without `/upstream/M`, `/v` and the like."""
    endpoint: Endpoint | None
    request_id: str
    caller: str
    remote: str
    headers: Headers
    body: bytes | Body = b""
    number: int = 0
    """Counts up from 1 within one run of corral."""
    began: float = 0.0
    began_at: float = 0.0

    requested: str = ""
    """The name that the client used."""
    model: str = ""
    """The real id, a peer's as `peer/id`; empty as long as none was found."""
    stream: bool = False
    """The client asked for a stream."""
    metadata: dict[str, str] = field(default_factory=dict)
    """For people: which selector chose, ..."""
    queue_ms: int = 0
    load_ms: int = 0
    told: Sequence[tuple[bytes, bytes]] = ()
    """Headers for the answer's head, whatever the answer is: which conversation it belongs to."""

    status: int = 0
    """What the client got; 0 while it got nothing."""
    answer_headers: Headers = field(default_factory=list)
    bytes_out: int = 0
    first_byte_at: float | None = None
    error: str = ""
    """Why there was no whole answer."""
    ended_at: float | None = None
    usage: Usage | None = None
    """What the answer said of its tokens, once it is over."""

    feeds: list[Feed] = field(default_factory=list)
    """Who wants to see the answer's body, piece by piece as it goes to the client. Must be quick; may take itself out."""
    ledger: Ledger | None = None
    meter: UsageTap | None = None
    """Reads `usage` while the answer goes by, and what an error says."""
    task: asyncio.Task[object] | None = None
    """Who serves it."""
    cancelled: CorralError | None = None
    """Why it is to end."""

    @property
    def content_type(self) -> str:
        """The answer's."""
        return (find(self.answer_headers, b"content-type") or b"").decode("latin-1")

    def head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.answer_headers = headers
        if self.ledger:
            self.ledger.answered(self)

    def cancel(self, why: CorralError) -> None:
        """Have it end: with this error, in the answer if that has begun already."""
        if self.task and not self.cancelled:
            self.cancelled = why
            self.task.cancel()

    def called_off(self) -> CorralError | None:
        """For whoever catches the cancellation of `task`: what to tell the client, when `cancel` is all that it came from."""
        if self.cancelled and self.task and self.task.uncancel() == 0:
            return self.cancelled
        return None

    def begin_metering(self) -> None:
        """Have the answer, which begins, read for its usage, or for its error."""
        encoding = find(self.answer_headers, b"content-encoding") or b""
        self.meter = UsageTap(self.content_type, encoding.decode("latin-1"))
        self.feeds.append(self.meter.feed)

    def end_metering(self) -> None:
        """Read the meter, and put it away."""
        if self.meter:
            self.usage = self.meter.usage()
            if self.status >= 400 and not self.error:
                self.error = self.meter.error()
            self.meter = None

    def chunk(self, piece: bytes) -> None:
        if not self.bytes_out:
            self.first_byte_at = asyncio.get_running_loop().time()
        self.bytes_out += len(piece)
        try:
            for feed in self.feeds:
                feed(piece)
        except Exception:
            log.exception("the answer to request %s is noted no further", self.request_id)
            self.feeds = []


class Observer(Protocol):
    """Who keeps books. Called on the loop, in the request's own time: must be quick."""

    def opened(self, exchange: Exchange) -> None: ...

    def answered(self, exchange: Exchange) -> None:
        """The answer's status and headers are there; the place to add to `feeds`."""
        ...

    def closed(self, exchange: Exchange) -> None: ...


class Ledger:
    """Every exchange that is under way, and the observers of them all."""

    def __init__(self) -> None:
        self.in_flight: dict[int, Exchange] = {}
        self.observers: list[Observer] = []
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Ledger: {len(self.in_flight)} in flight, {len(self.observers)} observers>"

    def open(self, exchange: Exchange) -> Exchange:
        """From now on it is in flight."""
        exchange.number = next(self._numbers)
        exchange.began, exchange.began_at = time.time(), asyncio.get_running_loop().time()
        exchange.ledger, exchange.task = self, asyncio.current_task()
        self.in_flight[exchange.number] = exchange
        for observer in self.observers:
            self._tell(observer.opened, exchange)
        return exchange

    def answered(self, exchange: Exchange) -> None:
        """For exchanges: the head of the answer came."""
        endpoint = exchange.endpoint
        if self.observers and endpoint and (endpoint.metered or exchange.status >= 400):
            self._tell(Exchange.begin_metering, exchange)
        for observer in self.observers:
            self._tell(observer.answered, exchange)

    def close(self, exchange: Exchange) -> None:
        """It is over, however it ended."""
        exchange.ended_at = asyncio.get_running_loop().time()
        exchange.ledger = exchange.task = None
        self._tell(Exchange.end_metering, exchange)
        del self.in_flight[exchange.number]
        for observer in self.observers:
            self._tell(observer.closed, exchange)

    def cancel(self, why: CorralError) -> None:
        """Have every exchange end with this error."""
        for exchange in self.in_flight.values():
            exchange.cancel(why)

    async def emptied(self) -> None:
        """Returns when nothing is in flight."""
        while tasks := [one.task for one in self.in_flight.values() if one.task]:
            await asyncio.wait(tasks)

    def _tell(self, tell: Callable[[Exchange], None], exchange: Exchange) -> None:
        try:
            tell(exchange)
        except Exception:
            log.exception("request %s could not be noted", exchange.request_id)

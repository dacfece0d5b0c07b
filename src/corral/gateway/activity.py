"""The table of requests: what is written down of each, in batches, so that neither the loop nor a request waits for the disk.

1. A POST on a model route whose model was found is one row, whatever became of it. Its capture, if there is one, has the row's id.
2. Rows wait in memory, at most `WAITING` of them: when the disk cannot keep up or cannot be written, what comes then is counted, said,
   and missing.
3. Whoever asks for rows gets those too that were still waiting.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from corral.config.model import Config
from corral.dialects.activity import Row, Stats, Wanted
from corral.dialects.usage import Usage
from corral.errors import CorralError
from corral.gateway.captures import Capture, Captures, Taking
from corral.gateway.exchange import LEFT, Exchange, Ledger
from corral.gateway.inforce import InForce
from corral.gateway.ports import Activities
from corral.wire.headers import phrase

EVERY: Final = 0.25
"""Seconds between two batches."""
AGAIN: Final = 5.0
"""Seconds, after one that could not be written."""
WAITING: Final = 50_000
"""Rows: some 20 MB."""
FASTEST: Final = 1e9
"""Tokens per second; what is told beyond is not believed."""
ERROR_LENGTH: Final = 500
NAME_LENGTH: Final = 200
"""Characters: of why it failed, and of a name that no model has."""

T = TypeVar("T")

Listener = Callable[[Sequence[int]], None]
"""Who wants to know of new rows, by id."""

log = logging.getLogger("corral.activity")


class _Batch(NamedTuple):
    """Rows without their ids, and the captures that belong to them."""

    rows: list[Row]
    captures: list[Capture | None]


class Activity:
    """Enters requests into a table. `in_memory` is how many rows are kept where there is no file for them. An `exchange.Observer`."""

    def __init__(self, table: Activities, captures: Captures, in_memory: int) -> None:
        self.captures = captures
        self.in_memory = in_memory
        self.listeners: list[Listener] = []
        self._table = table
        self._takings: dict[int, Taking] = {}
        self._batch = _Batch([], [])
        self._on_its_way = 0
        self._missing = 0
        self._trouble = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Activity: {len(self._batch.rows) + self._on_its_way} rows waiting>"

    def adopt(self, config: Config) -> None:
        """Keep as much as it says."""
        self.captures.resize(config.capture_buffer)
        self.in_memory = config.metrics_max_in_memory

    # --- exchange.Observer -------------------------------------------------------------------------------------------

    def opened(self, exchange: Exchange) -> None:
        pass

    def answered(self, exchange: Exchange) -> None:
        if self.captures.limit and is_recorded(exchange):
            taking = self.captures.take(exchange)
            if taking:
                self._takings[exchange.number] = taking
                exchange.feeds.append(taking.feed)

    def closed(self, exchange: Exchange) -> None:
        taking = self._takings.pop(exchange.number, None)
        if not is_recorded(exchange):
            return
        if len(self._batch.rows) + self._on_its_way >= WAITING:
            if taking:
                taking.end()
            self._leave_out(1, "the disk does not keep up")
            return
        keeps = self.captures.limit
        self._batch.rows.append(row(exchange))
        self._batch.captures.append(self.captures.keep(exchange, taking) if keeps else None)
        if self._timer is None:
            self._timer = self._later()

    # --- asking ------------------------------------------------------------------------------------------------------

    async def page(self, wanted: Wanted) -> tuple[int, Sequence[Row]]:
        """How many rows there are, and one page of them. Raises CorralError when the database does not answer."""
        self._write()
        return _there(await self._table.page(wanted))

    async def stats(self, model: str) -> Stats:
        """Totals of a model's rows, of all with an empty name. Raises CorralError when the database does not answer."""
        self._write()
        return _there(await self._table.stats(model))

    def close(self) -> None:
        """Hand over what waits. What comes later is lost."""
        self._write()
        self.captures.close()
        if self._timer:
            self._timer.cancel()

    # --- writing -----------------------------------------------------------------------------------------------------

    def _later(self) -> asyncio.TimerHandle:
        delay = AGAIN if self._trouble else EVERY
        return asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self._write()

    def _write(self) -> None:
        batch, self._batch = self._batch, _Batch([], [])
        if not batch.rows:
            return
        self._on_its_way += len(batch.rows)
        loop = asyncio.get_running_loop()

        def written(answer: Future[int | str]) -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody listens any more
                loop.call_soon_threadsafe(self._written, batch, answer)

        self._table.write(batch.rows, self.in_memory).add_done_callback(written)

    def _written(self, batch: _Batch, answer: Future[int | str]) -> None:
        self._on_its_way -= len(batch.rows)
        if answer.exception():  # said where it happened
            self._leave_out(len(batch.rows), "they could not be written")
            return
        first = answer.result()
        if isinstance(first, str):
            self._complain(first)
            self._put_back(batch)
        else:
            self._recovered()
            self._tell(batch, first)

    def _put_back(self, batch: _Batch) -> None:
        """It is tried again: before what has come meanwhile, as it was."""
        self._batch.rows[:0] = batch.rows
        self._batch.captures[:0] = batch.captures
        self._timer = self._timer or self._later()

    def _tell(self, batch: _Batch, first: int) -> None:
        for number, capture in enumerate(batch.captures, first):
            if capture:
                self.captures.name(capture, number)
        numbers = range(first, first + len(batch.rows))
        for listener in self.listeners:
            listener(numbers)

    # --- when it does not go well ------------------------------------------------------------------------------------

    def _leave_out(self, count: int, reason: str) -> None:
        self._missing += count
        self._complain(reason)

    def _complain(self, reason: str) -> None:
        """Once for as long as it lasts."""
        if not self._trouble:
            log.warning("requests are not entered in the table of requests: %s", reason)
        self._trouble = True

    def _recovered(self) -> None:
        if self._trouble:
            left = f"{self._missing} are missing" if self._missing else "none is missing"
            log.warning("requests are entered in the table of requests again; %s", left)
        self._trouble, self._missing = False, 0


def books(inforce: InForce, ledger: Ledger, table: Activities) -> Activity:
    """The activity of all that is in a ledger, as the configuration in force wants it."""
    config = inforce.config
    activity = Activity(table, Captures(config.capture_buffer), config.metrics_max_in_memory)
    ledger.observers.append(activity)
    inforce.watch(activity.adopt)
    return activity


def is_recorded(exchange: Exchange) -> bool:
    """It has a row in the table."""
    return bool(exchange.method == "POST" and exchange.endpoint and _model(exchange))


def _model(exchange: Exchange) -> str:
    """Its real id; for a name that nothing has, the name."""
    return exchange.model or exchange.requested[:NAME_LENGTH]


def row(exchange: Exchange) -> Row:
    """What is written down of an exchange that is over: `dialects.activity.FIELDS`."""
    usage = exchange.usage or _NOTHING
    return (
        int(exchange.began * 1000),
        _model(exchange),
        exchange.path,
        exchange.content_type,
        exchange.status or LEFT,
        usage.cache_tokens,
        usage.draft_tokens,
        usage.draft_accepted,
        usage.input_tokens,
        usage.output_tokens,
        _speed(usage.prompt_per_second),
        _speed(usage.tokens_per_second),
        round(1000 * ((exchange.ended_at or exchange.began_at) - exchange.began_at)),
        _error(exchange),
        json.dumps(exchange.metadata) if exchange.metadata else "",
    )


_NOTHING: Final = Usage()


def _speed(told: float) -> float:
    """An engine may have divided by nearly nothing, and infinity is no JSON."""
    return told if told < FASTEST else -1.0


def _error(exchange: Exchange) -> str:
    if exchange.error:
        return exchange.error[:ERROR_LENGTH]
    if not exchange.status:
        return "it was not answered"
    if 200 <= exchange.status < 300:
        return ""
    return f"{exchange.status} {phrase(exchange.status)}".rstrip()


def _there(answer: T | None) -> T:
    if answer is None:
        raise CorralError("the table of requests cannot be read now; corral's log says why")
    return answer

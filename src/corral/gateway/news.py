"""What happens to models and requests, for those who follow `/api/events`.

1. A reader first gets the logs so far, every model's state, what a page needs to know, and every request under way; then what comes,
   without a gap and without a repetition.
2. Changes of state within `COALESCED` seconds are told together; a model's departure and the end of a load are told each.
3. The stream ends when corral's own log does, which is last.
4. While nobody reads, a request costs nothing here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from corral.config.model import Config
from corral.dialects import events as messages
from corral.errors import LoadFailed
from corral.gateway.broadcast import Broadcast, Reader
from corral.gateway.gateway import Gateway
from corral.gateway.inflight import InFlight
from corral.gateway.reload import Report
from corral.gateway.switch import Told
from corral.scheduler import events
from corral.scheduler.events import Fact, Order

COALESCED = 0.05
"""Seconds. Whoever watches a thousand models may cost a look at each of them only so often."""

LEFT_OUT = b"[corral: events were left out for a slow reader]\n"


class News:
    """Listens to all that goes on behind a gateway, and tells its readers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._inforce, self._engine = gateway.inforce, gateway.engine
        self._broadcast = broadcast = Broadcast()
        self._readers = broadcast.readers
        self._in_flight = InFlight(gateway.ledger, broadcast.publish, broadcast.readers)
        self._loading: set[str] = set()
        self._told = b""
        self._entered_last = 0
        self._soon: asyncio.TimerHandle | None = None
        self._engine.listeners.append(self._heard)
        gateway.activity.listeners.append(self._entered)
        gateway.routing.listeners.append(self._another_profile)
        gateway.switcher.listeners.append(self._switching)
        gateway.inforce.watch(self._adopted)
        gateway.reloader.listeners.append(self._reloaded)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """A reader of everything that comes while the block lasts."""
        reader = Reader(self._again, messages.HEARTBEAT)
        own, models = self._gateway.logs.own, self._gateway.logs.models
        texts = (
            messages.log_data(own.history()),
            messages.log_data(models.history(), "upstream"),
        )
        following = own.follow(), models.follow()
        self._in_flight.begin()
        reader.feed(b"".join(texts) + self._snapshot())
        if not self._broadcast:
            self._told = self._states()
        self._broadcast.join(reader)
        tasks = [
            asyncio.create_task(_pass_on(following[0], reader), name="events: corral's log"),
            asyncio.create_task(_pass_output(following[1], reader), name="events: models' output"),
        ]
        try:
            yield reader
        finally:
            self._broadcast.leave(reader)
            for task in tasks:
                task.cancel()
            if not self._broadcast:
                self._rest()

    def _rest(self) -> None:
        self._in_flight.end()
        if self._soon:
            self._soon.cancel()
            self._soon = None

    def _again(self) -> bytes:
        row = messages.activity(self._entered_last) if self._entered_last else b""
        return messages.log_data(LEFT_OUT) + self._snapshot() + row

    def _snapshot(self) -> bytes:
        """How everything is now."""
        headers = self._inforce.config.ui.activity.session_id
        profile = messages.profile_changed(self._gateway.routing.active)
        told = self._gateway.switcher.under_way
        switch = _switch(told) if told else b""
        requests = self._in_flight.snapshot()
        return self._states() + messages.ui_config(headers) + profile + switch + requests

    # --- what happens ------------------------------------------------------------------------------------------------

    def _heard(self, fact: Fact, orders: Sequence[Order]) -> None:
        for order in orders:
            match order:
                case events.Start(model):
                    self._loading.add(model)
                case events.Stop(model, _, why, target):
                    at = round(time.time(), 3)
                    self._broadcast.publish(messages.eviction(model, target=target, why=why, at=at))
        match fact:
            case events.Ready(model) if model in self._loading:
                self._loading.discard(model)
                seconds = self._engine.machine.load_seconds(model) or 0.0
                self._broadcast.publish(messages.loaded(model, seconds))
            case events.Exited(model, reason):
                self._ended(model, reason)
            case events.Checked(model, LoadFailed() as problem):
                self._broadcast.publish(messages.load_failed(model, problem.message))
        self._look_soon()

    def _reloaded(self, report: Report) -> None:
        if report.error is None:
            self._broadcast.publish(messages.reloaded(asdict(report.changes)))
        else:
            self._broadcast.publish(messages.not_reloaded(report.error.message.splitlines()))

    def _ended(self, model: str, reason: LoadFailed | None) -> None:
        if model in self._loading:
            self._loading.discard(model)
            if reason:
                self._broadcast.publish(messages.load_failed(model, reason.message))

    def _another_profile(self, active: str | None) -> None:
        self._broadcast.publish(messages.profile_changed(active))
        self._look_soon()

    def _switching(self, told: Told) -> None:
        self._broadcast.publish(_switch(told))

    def _adopted(self, config: Config) -> None:
        if self._broadcast:
            self._broadcast.publish(messages.ui_config(config.ui.activity.session_id))
            self._look_soon()

    def _entered(self, numbers: Sequence[int]) -> None:
        self._entered_last = numbers[-1]
        if self._broadcast:
            self._broadcast.publish(b"".join(map(messages.activity, numbers)))

    # --- states ------------------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        if self._soon is None and self._readers:
            self._soon = asyncio.get_running_loop().call_later(COALESCED, self._look)

    def _look(self) -> None:
        self._soon = None
        states = self._states()
        if states != self._told:
            self._told = states
            self._broadcast.publish(states)

    def _states(self) -> bytes:
        catalog = self._inforce.catalog
        peers = [messages.Status(one.listed, peer=one.peer) for one in catalog.peer_models()]
        return messages.model_status([*map(self._status, self._inforce.config.models), *peers])

    def _status(self, model: str) -> messages.Status:
        configured = self._inforce.config.models[model]
        return messages.Status(
            model,
            self._engine.machine.state(model).value,
            configured.name,
            configured.description,
            configured.unlisted,
            self._inforce.catalog.aliases(model),
            configured.capabilities,
        )


def _switch(told: Told) -> bytes:
    error = told.error.message if told.error else None
    return messages.switch(told.model, told.previous, seconds=told.seconds, error=error)


async def _pass_on(log: AsyncIterator[bytes], reader: Reader) -> None:
    async for piece in log:
        reader.feed(messages.log_data(piece))
    reader.end()


async def _pass_output(output: AsyncIterator[bytes], reader: Reader) -> None:
    async for piece in output:
        reader.feed(messages.log_data(piece, "upstream"))

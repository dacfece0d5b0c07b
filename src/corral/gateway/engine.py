"""The run loop: facts go to the scheduler, its orders are carried out.

1. Facts are handled one at a time, in the order they came, on the event loop's thread; carrying out an order may bring the next fact.
2. A `Lease` is the only way to use a model. Entering it is the arrival, leaving it - however it is left - is the departure: one for each.
3. The engine holds no model state of its own: what a model is doing is asked of the scheduler, what its process is doing of the machine.
4. A defect costs one order, or one request, never the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from corral.config.command import LaunchSpec
from corral.errors import CorralError, LoadFailed
from corral.gateway.interludes import Interludes
from corral.gateway.ports import Processes, Upstream
from corral.scheduler import events
from corral.scheduler.events import Admit, Check, Fact, Order, Reject, Start, Stop, Wake
from corral.scheduler.machine import Machine

log = logging.getLogger("corral.engine")

LAST_WAIT = 5.0
"""Seconds that `close` waits for processes that were told to stop at once: longer than the machine needs to kill and sweep."""


class Stopped(NamedTuple):
    """`why` names the rule, or says that it was idle, or asked to; `target` is whom it made room for, empty when nobody. Epoch seconds."""

    why: str
    target: str
    at: float


Listener = Callable[[Fact, Sequence[Order]], None]
"""Who wants to know of every fact, once it was handled and its orders were carried out. Must not block."""


class Engine:
    """Carries the scheduler's orders out. Fits `ports.Reports`: processes tell it what happened to them."""

    processes: Processes
    """Set once, before the first fact: processes report to an engine, so the engine is there first."""

    def __init__(self, machine: Machine, clock: Callable[[], float] = time.monotonic) -> None:
        self.machine = machine
        self._clock = clock
        self._mail: deque[Fact] = deque()
        self._working = False
        self._leases: dict[int, Lease] = {}
        self._numbers = itertools.count(1)
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, Stopped] = {}
        self._exits: dict[str, int] = {}
        self._watchers: set[asyncio.Future[None]] = set()
        self.last_used: str | None = None
        """The model that a request was last admitted to."""
        self.interludes = Interludes()
        self.closing = False
        self.listeners: list[Listener] = []

    # --- using models ----------------------------------------------------------------------------------------------

    def lease(
        self, model: str, *, explicit: bool = False, caller: str = "", urgent: bool = False
    ) -> Lease:
        """The right to use `model` while the block lasts: `async with engine.lease(model) as lease`. Callers take turns."""
        number = next(self._numbers)
        return Lease(self, events.Arrived(number, model, explicit, caller, urgent))

    def enter(self, lease: Lease) -> None:
        """For leases: from now on orders about its request reach it."""
        self._leases[lease.request] = lease
        self.post(lease.arrival)

    def leave(self, lease: Lease) -> None:
        """For leases: it is over, also for the scheduler (which has forgotten a refused one already)."""
        del self._leases[lease.request]
        self.post(events.Departed(lease.request))

    async def load(self, model: str) -> Lease:
        """Have `model` loaded; returns once it is ready, with the lease (already over) for its timings."""
        async with self.lease(model, explicit=True) as lease:
            return lease

    async def unload(self, models: Iterable[str], *, force: bool = False) -> None:
        """Drain and stop these models (at once with `force`); returns when their processes are gone."""
        wanted = {m: self._exits.get(m, 0) for m in models}
        self.post(events.AskedUnload(tuple(wanted), force))
        await self._until(
            lambda: all(
                self._exits.get(m, 0) > n or not self.machine.is_loaded(m)
                for m, n in wanted.items()
            )
        )

    def adopt(self, specs: Mapping[str, LaunchSpec], fact: events.Reloaded) -> None:
        """From now on the models are launched and scheduled like this; whatever did not change goes on as it is."""
        self.processes.adopt(specs)
        self.post(fact)
        if self.last_used not in fact.models:
            self.last_used = None

    async def close(self, now: asyncio.Event, timeout: float) -> None:
        """Refuse newcomers, let what is in flight finish and every process stop in its own time, then stop what is left.

        The first takes `timeout` seconds at most, and ends with `now`; the second `LAST_WAIT`. Whoever follows a model's log has then read
        its end.
        """
        self.closing = True
        self.post(events.Closing())
        emptied = self._until(lambda: not self._leases and not self._alive())
        await patiently(emptied, now, timeout)
        self.post(events.Closed())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WAIT):
                await self._until(lambda: not self._alive())
        for model in self._alive():
            log.error("%s did not stop", model)
        self._set_alarm(None)
        for model in self.machine.models:
            self.processes.log(model).close()

    def _alive(self) -> list[str]:
        machine = self.machine
        return [model for model in machine.models if machine.is_loaded(model)]

    def last_stop(self, model: str) -> Stopped | None:
        """When and why `model` was last told to stop; None when it never was."""
        return self._stops.get(model)

    def now(self) -> float:
        """The clock that the scheduler's times are on."""
        return self._clock()

    # --- facts -------------------------------------------------------------------------------------------------------

    def ready(self, model: str) -> None:
        seconds = self._clock() - self.machine.state_since(model)
        log.info("%s is ready after %.2f s", model, seconds)
        self.post(events.Ready(model))

    def exited(self, model: str, reason: LoadFailed | None) -> None:
        self._exits[model] = self._exits.get(model, 0) + 1
        self.interludes.broken_off(model)
        if reason is None:
            log.info("%s is unloaded", model)
        else:
            log.warning("%s: %s", model, reason.message)
        self.post(events.Exited(model, reason))

    def post(self, fact: Fact) -> None:
        """Tell the scheduler and carry out what it answers, before returning (unless a fact is being handled already)."""
        self._mail.append(fact)
        if self._working:
            return
        self._working = True
        try:
            while self._mail:
                fact = self._mail.popleft()
                orders = self._orders(fact)
                for order in orders:
                    self._try(order)
                self._tell(fact, orders)
        finally:
            self._working = False
        self._notify()

    def _orders(self, fact: Fact) -> list[Order]:
        try:
            return self.machine.handle(fact, self._clock())
        except Exception:
            log.exception("the scheduler failed on %r", fact)
            if isinstance(fact, events.Arrived):
                return [Reject(fact.request, CorralError("corral's scheduler failed; see its log"))]
            return []

    def _tell(self, fact: Fact, orders: Sequence[Order]) -> None:
        for listener in self.listeners:
            try:
                listener(fact, orders)
            except Exception:
                log.exception("%r could not be passed on", fact)

    # --- orders ------------------------------------------------------------------------------------------------------

    def _try(self, order: Order) -> None:
        try:
            self._carry_out(order)
        except Exception:
            log.exception("%r could not be carried out", order)

    def _carry_out(self, order: Order) -> None:
        match order:
            case Admit(request):
                lease = self._leases[request]
                self.last_used = lease.model
                lease.admit()
            case Reject(request, error):
                self._leases[request].refuse(error)
            case Check(model):
                self._check_anew(model)
            case Start(model):
                log.info("loading %s", model)
                self.interludes.start(model, partial(self._launch, model))
            case Stop(model, grace, why, target):
                log.info("unloading %s: %s", model, why)
                self._stops[model] = Stopped(why, target, time.time())
                if not self.interludes.stop(model, grace, partial(self.processes.stop, model)):
                    self.exited(model, None)
            case Wake(at):
                self._set_alarm(at)

    def _launch(self, model: str) -> None:
        try:
            self.processes.start(model)
        except Exception as error:  # who waits for it would wait for ever
            log.exception("%s could not be started", model)
            self.exited(model, LoadFailed(f"{model} was not started: {error!r}"))

    def _check_anew(self, model: str) -> None:
        """An answer that is still to come is about how it was launched before a reload."""
        if running := self._checks.get(model):
            running.cancel()
        self._checks[model] = self._spawn(self._check(model), f"check {model}")

    async def _check(self, model: str) -> None:
        try:
            problem = await self.processes.check(model)
        except Exception as error:
            log.exception("checking %s failed", model)
            problem = LoadFailed(f"{model} could not be checked: {error}")
        del self._checks[model]
        self.post(events.Checked(model, problem))

    def _set_alarm(self, at: float | None) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = None
        if at is not None:
            delay = max(0.0, at - self._clock())
            self._alarm = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._alarm = None
        self.post(events.Ticked())

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- waiting for a change ----------------------------------------------------------------------------------------

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed()

    async def _changed(self) -> None:
        """Returns after the next fact that was handled."""
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.add(watcher)
        try:
            await watcher
        finally:
            self._watchers.discard(watcher)

    def _notify(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)


async def patiently(end: Coroutine[None, None, None], now: asyncio.Event, timeout: float) -> None:
    """Wait for `end`, or `now`, or until `timeout` seconds have passed."""
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(end, name="closing: until everything has ended"),
        loop.create_task(now.wait(), name="closing: until there is no time left"),
    ]
    try:
        await asyncio.wait(tasks, timeout=max(0, timeout), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Lease:
    """The right to use one model until the block ends.

    Entering waits for the model to be loaded and free, and raises what the scheduler refuses with. Inside, `upstream` answers;
    `load_ms` and `queue_ms` say what the wait was spent on: this model's load, as far as it fell into the wait, and everything else
    (both 0 when the model was ready and free).
    """

    __slots__ = (
        "_admitted",
        "_arrived_at",
        "_engine",
        "_error",
        "_waiter",
        "arrival",
        "load_ms",
        "model",
        "queue_ms",
        "request",
    )

    def __init__(self, engine: Engine, arrival: events.Arrived) -> None:
        self._engine = engine
        self._waiter: asyncio.Future[None] | None = None
        self._arrived_at = 0.0
        self._admitted = False
        self._error: CorralError | None = None
        self.arrival = arrival
        self.request = arrival.request
        self.model = arrival.model
        self.load_ms = 0
        self.queue_ms = 0

    def __repr__(self) -> str:
        state = "refused" if self._error else "admitted" if self._admitted else "waiting"
        return f"<Lease {self.request} of {self.model}: {state}>"

    async def __aenter__(self) -> Self:
        self._arrived_at = self._engine.now()
        self._engine.enter(self)
        try:
            await self._answered()
        except BaseException:  # refused, or the client left
            self._engine.leave(self)
            raise
        return self

    async def _answered(self) -> None:
        if not self._admitted and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.leave(self)

    def admit(self) -> None:
        """For the engine: the scheduler has admitted it."""
        self._admitted = True
        waited = self._engine.now() - self._arrived_at
        loading = self._loaded_for()
        self.load_ms = round(1000 * loading)
        self.queue_ms = max(0, round(1000 * waited) - self.load_ms)
        self._wake()

    def refuse(self, error: CorralError) -> None:
        """For the engine: the scheduler has refused it."""
        self._error = error
        self._wake()

    def _loaded_for(self) -> float:
        """Seconds of the model's last load that lie in this lease's wait."""
        machine, arrived = self._engine.machine, self._arrived_at
        ready = machine.ready_since(self.model)
        if ready is None or ready <= arrived:
            return 0.0
        return min(machine.load_seconds(self.model) or 0.0, ready - arrived)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def upstream(self) -> Upstream:
        """Where the model answers. Raises UpstreamUnreachable when its process has gone by itself."""
        return self._engine.processes.upstream(self.model)

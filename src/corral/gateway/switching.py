"""An explicit switch: make one model the active one, by draining and unloading what must go, letting memory settle, and loading it.

1. One at a time, in the order in which they were asked for. One whose client leaves before its turn is forgotten.
2. What must go is the scheduler's answer, as for every load; a switch is only more urgent than a request. Whoever comes meanwhile waits.
3. Until the first process is told to stop (or the target to start) a switch can be called off, by its client's leaving or by
   `drainTimeout`, and nothing has changed. From then on it goes on to its end, whoever leaves: halfway there is no model to go back to.
4. A switch that fails leaves the active model what it was, and loads it again if it was unloaded for this.
5. There is nothing here that waits for something to be so by asking again, but for memory (`settling.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from corral.errors import (
    Cancelled,
    CorralError,
    DrainTimeout,
    LoadFailed,
    ModelNotFound,
    ShuttingDown,
)
from corral.gateway.engine import Engine, Lease
from corral.gateway.inforce import InForce
from corral.gateway.ports import Probes
from corral.gateway.routing import Routing
from corral.gateway.settling import Meter, goes_by_held, settled, target
from corral.gateway.switch import Report, Run, Told
from corral.scheduler import events
from corral.scheduler.events import Fact, Order
from corral.scheduler.machine import State

log = logging.getLogger("corral.switching")


Listener = Callable[[Told], None]
"""Who wants to know. Must not block."""


class Switcher:
    """Makes models the active one. Nobody measures memory where `probes` is None."""

    def __init__(
        self, inforce: InForce, engine: Engine, routing: Routing, probes: Probes | None = None
    ) -> None:
        self._inforce = inforce
        self._engine = engine
        self._routing = routing
        self._probes = probes
        self._turn = asyncio.Lock()
        self._run: Run | None = None
        self._tasks: set[asyncio.Task[Report | CorralError]] = set()
        self.listeners: list[Listener] = []
        engine.listeners.append(self._heard)
        engine.interludes.before_stop.append(self._before_stop)
        engine.interludes.before_start.append(self._before_start)

    def __repr__(self) -> str:
        return f"<Switcher: {self._run or 'idle'}, {len(self._tasks)} under way or waiting>"

    @property
    def under_way(self) -> Told | None:
        """The switch that is made now."""
        run = self._run
        return Told(run.model, run.previous) if run else None

    async def switch(self, name: str) -> Report:
        """Make the model that `name` leads to the active one, after those who asked before.

        Raises ModelNotFound, InvalidRequest (a peer's model), DrainTimeout (nothing has changed), LoadFailed (the active model is what it
        was), and what the scheduler refuses with.
        """
        run = Run(self._routing.local(name), Meter(self._probes))
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._in_turn(run), name=f"switch to {run.model}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait([task])
        finally:
            if not run.committed:  # else it goes on without whoever asked
                task.cancel()
        if task.cancelled():
            raise ShuttingDown("corral is shutting down")
        outcome = task.result()
        if isinstance(outcome, CorralError):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        """End every switch, where it stands."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- one of them -------------------------------------------------------------------------------------------------

    async def _in_turn(self, run: Run) -> Report | CorralError:
        async with self._turn:
            if run.model not in self._inforce.config.models:  # a reload, while it waited
                return ModelNotFound(f"no model {run.model}: it was removed from the configuration")
            if self._is_there(run.model) and run.model == self._routing.active_model:
                return await self._as_it_is(run)
            self._begin(run)
            try:
                return await self._switched(run)
            finally:
                self._end(run)

    def _begin(self, run: Run) -> None:
        run.previous, run.began = self._routing.active_model, self._engine.now()
        self._run = run
        self._routing.undecided()
        log.info("switching from %s to %s", run.previous or "no model", run.model)
        self._tell(Told(run.model, run.previous))

    def _end(self, run: Run) -> None:
        self._run = None
        self._routing.decide(None)
        if run.measuring:
            run.measuring.cancel()

    async def _switched(self, run: Run) -> Report | CorralError:
        try:
            report = await self._made(run)
        except CorralError as error:
            failure = await self._failed(run, error)
            log.warning("%s", failure.message)
            self._tell(Told(run.model, run.previous, error=failure))
            return failure
        except asyncio.CancelledError:
            text = f"not switched to {run.model}: called off; nothing has changed"
            log.info("%s", text)
            self._tell(Told(run.model, run.previous, error=Cancelled(text)))
            raise
        log.info("%s", report)
        self._tell(Told(run.model, run.previous, seconds=report.elapsed))
        return report

    async def _made(self, run: Run) -> Report:
        if self._engine.machine.state(run.model) is State.LOADING:
            run.started_at = run.launched_at = run.began
            run.commit()
            run.readings[0] = await run.meter.read()
        if self._is_there(run.model):
            run.ready_at = self._engine.now()
        else:
            await self._loaded(run)
        self._routing.decide(run.model)
        run.readings[3] = await run.meter.read()
        return run.report(self._engine.now())

    async def _as_it_is(self, run: Run) -> Report:
        """There is nothing to do."""
        run.previous = run.model
        run.readings[3] = await run.meter.read()
        return run.report(run.began)

    def _is_there(self, model: str) -> bool:
        """It is ready, with nobody in its way."""
        machine = self._engine.machine
        return machine.state(model) is State.READY and not machine.victims(model)

    async def _loaded(self, run: Run) -> None:
        """Return when the model is ready, with nobody in its way."""
        drain = self._inforce.config.switching.drain_timeout
        if not (drain or run.committed) and (busy := self._busy(run.model)):
            raise DrainTimeout(busy)
        lease = self._engine.lease(run.model, explicit=True, urgent=True)
        try:
            await self._entered(run, lease, None if run.committed else drain or None)
        except TimeoutError:
            if run.ready_at is None:
                busy = self._busy(run.model) or "there was no room for it"
                raise DrainTimeout(f"{busy} after {drain:g} s") from None

    @staticmethod
    async def _entered(run: Run, lease: Lease, within: float | None) -> None:
        try:
            async with asyncio.timeout(within) as run.patience, lease:
                pass
        finally:
            run.patience = None

    def _busy(self, model: str) -> str:
        """Who of those in its way has requests, for people; empty when nobody has."""
        machine = self._engine.machine
        requests = {v: machine.in_flight(v) + machine.waiting(v) for v in machine.victims(model)}
        told = [f"{v} has {n} request{'s' * (n > 1)}" for v, n in requests.items() if n]
        return " and ".join(told)

    # --- failing -----------------------------------------------------------------------------------------------------

    async def _failed(self, run: Run, error: CorralError) -> CorralError:
        """What the caller is told, once the active model is there again."""
        text = f"not switched to {run.model}: {error.message}"
        match error:
            case ShuttingDown():
                return error
            case LoadFailed(exit_code=code, log_tail=tail, retry_after=after):
                text = f"{text}; {await self._restored(run)}"
                return LoadFailed(text, exit_code=code, log_tail=tail, retry_after=after)
            case _ if run.committed:
                return LoadFailed(f"{text}; {await self._restored(run)}")
        return type(error)(f"{text}; nothing has changed", retry_after=error.retry_after)

    async def _restored(self, run: Run) -> str:
        """Have the active model loaded again, if it was unloaded for this; what became of that, for people."""
        previous = run.previous
        if previous is None:
            return "no model is active"
        if previous not in run.unloaded:
            return f"{previous} is still the active one"
        log.info("loading %s again: the switch to %s failed", previous, run.model)
        try:
            await self._engine.load(previous)
        except CorralError as error:
            return f"{previous}, still the active one, could not be loaded again: {error.message}"
        return f"{previous} is still the active one, and loaded again"

    # --- what happens to processes -------------------------------------------------------------------------------------

    def _heard(self, _: Fact, orders: Sequence[Order]) -> None:
        run = self._run
        if run is None:
            return
        for order in orders:
            match order:
                case events.Stop(model, target=for_whom) if for_whom == run.model:
                    self._stopping(run, model)
                case events.Start(model) if model == run.model:
                    self._starting(run)
        if run.patience and self._is_there(run.model):
            run.ready_at = self._engine.now()
            run.enough()

    def _stopping(self, run: Run, victim: str) -> None:
        if run.stopped_at is None:
            run.stopped_at = self._engine.now()
            run.commit()
        if victim not in run.unloaded:
            run.unloaded.append(victim)

    def _starting(self, run: Run) -> None:
        if run.started_at is None:
            run.started_at = self._engine.now()
            run.commit()

    def _before_stop(self, victim: str) -> Awaitable[None] | None:
        """Read what the cards hold, and what of that is the victims', while they are all there."""
        run, stop = self._run, self._engine.last_stop(victim)
        if run is None or stop is None or stop.target != run.model:
            return None
        self._stopping(run, victim)
        if run.measuring is None:
            loop = asyncio.get_running_loop()
            run.measuring = loop.create_task(self._measured(run), name=f"memory before {run.model}")
        return asyncio.shield(run.measuring)  # one victim may end by itself meanwhile

    async def _measured(self, run: Run) -> None:
        reading = run.readings[0] = await run.meter.read()
        if reading.total_mb is None or not goes_by_held(self._inforce.config.switching):
            return
        engine = self._engine
        pids = (engine.processes.status(v).pid for v in engine.machine.victims(run.model))
        run.held = await run.meter.held([pid for pid in pids if pid is not None])

    def _before_start(self, model: str) -> Awaitable[None] | None:
        run = self._run
        if run is None or model != run.model:
            return None
        self._starting(run)
        return self._settled(run)

    async def _settled(self, run: Run) -> None:
        """Wait for memory to come back, if something was unloaded."""
        now = await run.meter.read()
        before = run.readings[0] or now
        run.readings[:3] = before, now, now
        settings = self._inforce.config.switching
        within = settings.settle_timeout
        aim = target(settings, before, run.held) if run.unloaded else None
        if aim is not None:
            run.settled, now = await settled(run.meter, now, aim, within)
            run.readings[2] = now
        if run.settled is False:
            told = "switching to %s: %s MiB in use after %g s, not %s or less; going on"
            log.warning(told, run.model, now.total_mb, within, aim)
        run.launched_at = self._engine.now()

    # --- telling -------------------------------------------------------------------------------------------------------

    def _tell(self, told: Told) -> None:
        for listener in self.listeners:
            try:
                listener(told)
            except Exception:
                log.exception("%r could not be passed on", told)

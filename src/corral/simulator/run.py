"""The event loop: virtual time, the real scheduler, and processes that do what the times say.

1. What happens at one time happens in a fixed order: first what was under way, in the order in which it was begun, then arrivals.
2. A check is clean at once. A load takes the model's load time, or fails at its `healthCheckTimeout`; a stop takes its stop time, or the
   grace that it is given.
3. How long an answer takes does not depend on how many are given at once; `parallel` bounds that.
4. It ends with the last request.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, ClassVar

from corral.config.model import Config
from corral.errors import LoadTimeout
from corral.scheduler.events import (
    Admit,
    Arrived,
    Check,
    Checked,
    Departed,
    Exited,
    Fact,
    Order,
    Ready,
    Reject,
    Start,
    Stop,
    Ticked,
    Wake,
)
from corral.scheduler.rules import machine_for
from corral.simulator.timeline import Timeline
from corral.simulator.times import Times
from corral.simulator.trace import Trace

SERVED = ""
"""The outcome of a request that was answered; that of any other is its error's code."""
_OFTEN = 1 << 13


@dataclass(slots=True)
class Run:
    """What happened. Seconds; `waits` and `outcomes` are by request."""

    waits: array[float]
    """From its arrival until it was admitted, or refused. NaN: neither."""
    outcomes: list[str]
    loads: dict[str, int] = field(default_factory=dict)
    """How often each model was loaded."""
    swaps: int = 0
    """How often a model was stopped to make room for another."""
    serving: float = 0.0
    """While at least one model served."""
    loading: float = 0.0
    """While none served, and at least one loaded or stopped."""
    idle: float = 0.0

    @property
    def seconds(self) -> float:
        """From the first arrival until the last request was over."""
        return self.serving + self.loading + self.idle


def simulate(
    config: Config,
    trace: Trace,
    times: Times,
    *,
    timeline: Timeline | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Run:
    """Play `trace` under `config`. `timeline` is filled; `progress` is now and then told how many requests have arrived."""
    return _World(config, trace, times, timeline).play(progress)


class _World:
    """Processes, clients and the clock, as far as the scheduler sees of them."""

    def __init__(
        self, config: Config, trace: Trace, times: Times, timeline: Timeline | None
    ) -> None:
        self._config = config
        self._trace = trace
        self._times = times
        self._timeline = timeline
        self._machine = machine_for(config)
        self._run = Run(array("d", [math.nan]) * len(trace), [SERVED] * len(trace))
        self._now = 0.0
        self._coming: list[tuple[float, int, Fact]] = []
        """What is under way, by time; the number keeps the order of those at one time."""
        self._numbers = count()
        self._processes: dict[str, Fact | None] = {}
        """By model: what its process will report next, None while it is ready."""
        self._changing = 0
        """How many of them load or stop."""
        self._alarm: Fact | None = None
        self._waiting = 0
        self._serving = 0
        self._unanswered = len(trace)
        self._service = _services(trace, times)
        self._preload = dict(enumerate(config.preload, len(trace)))

    def play(self, progress: Callable[[int], None]) -> Run:
        """From the first arrival to the last departure."""
        trace, coming = self._trace, self._coming
        arrivals, total, arrived = trace.arrivals, len(trace), 0
        self._load_next(total)
        while self._unanswered:
            if arrived < total and (not coming or arrivals[arrived] < coming[0][0]):
                self._pass(arrivals[arrived])
                self._waiting += 1
                self._tell(_arrival(trace, arrived))
                arrived += 1
                if not arrived % _OFTEN:
                    progress(arrived)
            elif coming:
                at, _, fact = heappop(coming)
                if self._still_holds(fact):
                    self._pass(at)
                    self._HAPPENS.get(type(fact), _World._nothing)(self, fact)
                    self._tell(fact)
            else:
                break  # nothing will ever happen again: who is unanswered now was forgotten
        return self._run

    def _pass(self, now: float) -> None:
        """Let the time until `now` go by."""
        seconds, self._now = now - self._now, now
        if self._serving:
            self._run.serving += seconds
        elif self._changing:
            self._run.loading += seconds
        else:
            self._run.idle += seconds

    def _tell(self, fact: Fact) -> None:
        for order in self._machine.handle(fact, self._now):
            self._ORDERS[type(order)](self, order)
        if self._timeline is not None:
            self._timeline.look(self._machine, self._processes, self._now, self._waiting)

    # --- facts -------------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, fact: Fact) -> None:
        heappush(self._coming, (self._now + seconds, next(self._numbers), fact))

    def _still_holds(self, fact: Fact) -> bool:
        """Not a report of a process that does something else by now, nor an alarm that was set anew."""
        if isinstance(fact, Ready | Exited):
            return self._processes.get(fact.model) is fact
        return not isinstance(fact, Ticked) or self._alarm is fact

    def _departed(self, fact: Departed) -> None:
        if fact.request < len(self._trace):
            self._serving -= 1
            self._unanswered -= 1

    def _ready(self, fact: Ready) -> None:
        self._processes[fact.model] = None
        self._changing -= 1

    def _exited(self, fact: Exited) -> None:
        del self._processes[fact.model]
        self._changing -= 1

    def _nothing(self, _: Fact) -> None:
        """The scheduler's business alone."""

    _HAPPENS: ClassVar[Mapping[type[Fact], Callable[[Any, Any], None]]] = {
        Departed: _departed,
        Ready: _ready,
        Exited: _exited,
    }

    # --- orders ------------------------------------------------------------------------------------------------------

    def _admit(self, order: Admit) -> None:
        request = order.request
        if request in self._preload:
            self._later(0.0, Departed(request))
            self._load_next(request + 1)
            return
        self._run.waits[request] = self._now - self._trace.arrivals[request]
        self._waiting -= 1
        self._serving += 1
        self._later(self._service[request], Departed(request))

    def _reject(self, order: Reject) -> None:
        request = order.request
        if request in self._preload:
            self._load_next(request + 1)
            return
        self._run.waits[request] = self._now - self._trace.arrivals[request]
        self._run.outcomes[request] = order.error.code
        self._waiting -= 1
        self._unanswered -= 1

    def _load_next(self, request: int) -> None:
        """Preload one model after the other, as corral does at its start."""
        if request in self._preload:
            self._later(0.0, Arrived(request, self._preload[request], explicit=True))

    def _check(self, order: Check) -> None:
        self._later(0.0, Checked(order.model))

    def _start(self, order: Start) -> None:
        model = order.model
        self._run.loads[model] = self._run.loads.get(model, 0) + 1
        self._changing += 1
        pace, patience = self._times.of(model), self._config.models[model].health_check_timeout
        if pace.load <= patience:
            self._report(pace.load, Ready(model))
        else:
            text = f"{model} was not ready within {patience:g} s"
            self._report(patience + pace.stop, Exited(model, LoadTimeout(text)))

    def _stop(self, order: Stop) -> None:
        if self._processes[order.model] is None:
            self._changing += 1
        if order.target:
            self._run.swaps += 1
        self._report(min(order.grace, self._times.of(order.model).stop), Exited(order.model))

    def _report(self, seconds: float, fact: Ready | Exited) -> None:
        self._processes[fact.model] = fact
        self._later(seconds, fact)

    def _wake(self, order: Wake) -> None:
        self._alarm = None
        if order.at is not None:
            self._alarm = Ticked()
            self._later(max(0.0, order.at - self._now), self._alarm)

    _ORDERS: ClassVar[Mapping[type[Order], Callable[[Any, Any], None]]] = {
        Admit: _admit,
        Reject: _reject,
        Check: _check,
        Start: _start,
        Stop: _stop,
        Wake: _wake,
    }


def _arrival(trace: Trace, request: int) -> Arrived:
    caller = trace.callers[trace.caller[request]]
    return Arrived(request, trace.models[trace.model[request]], caller=caller)


def _services(trace: Trace, times: Times) -> array[float]:
    """Every request's service time, said or usual."""
    usual = [times.of(model).service for model in trace.models]
    pairs = zip(trace.service, trace.model, strict=True)
    return array("d", (usual[model] if math.isnan(said) else said for said, model in pairs))

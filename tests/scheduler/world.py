"""The world outside the scheduler: processes that load, fail, crash and refuse to die, clients that come and leave, people who unload
and shut down, and a clock.

Each of these is one method of `World`, which hands the fact to the machine and carries out what comes back, under the eyes of `laws.py`.
What drives it (every schedule, random ones, a searcher) is in `explorer.py`, `schedules.py`, `test_explorer_laws.py`. An
`AssertionError` names the law that was broken. Who wants to read what happened gives the world a list for its story.
"""

from __future__ import annotations

import math

from corral.errors import LoadFailed
from corral.scheduler.events import (
    Arrived,
    AskedUnload,
    Checked,
    Closed,
    Closing,
    Departed,
    Exited,
    Ready,
    Ticked,
)
from corral.scheduler.machine import State

from .laws import Laws, Waiting
from .settings import Setting

MISSING = LoadFailed("no such file")
KILLED = LoadFailed("killed", exit_code=-9)


class World(Laws):
    """Everything but the scheduler. One method for each thing that may happen."""

    def __init__(self, setting: Setting, story: list[str] | None = None) -> None:
        super().__init__(setting)
        self.story = story

    # --- what may happen ---------------------------------------------------------------------------------------------

    def arrive(
        self, model: str, caller: str = "", *, explicit: bool = False, urgent: bool = False
    ) -> int:
        self.number += 1
        request = self.number
        clock = self._loading_clock(model)
        self.waiting[request] = Waiting(model, self.now, clock, caller, urgent)
        if caller not in self.callers[model]:
            self.callers[model].append(caller)
        if explicit:
            self.retry_at.pop(model, None)
        self._tell(Arrived(request, model, explicit, caller, urgent))
        known = self.waiting.get(request)
        refusing = self.now < self.retry_at.get(model, 0.0) and model not in self.process
        assert not (known and refusing), "law 7: it should have heard why the last load failed"
        return request

    def leave(self, request: int) -> None:
        """It has been served, or its client has left."""
        if (model := self._is_loading_for(request)) is not None:
            self._upset(model)
        if self._forget(request) is None:
            self.lost.discard(request)
            model = self.serving.pop(request, None)
            if model and model not in self.serving.values():
                self.idle_since[model] = self.now
        self.over += 1
        self._tell(Departed(request))

    def answer(self, model: str, *, fine: bool = True) -> None:
        self.checking.remove(model)
        if fine:
            self.clean.add(model)
        else:
            self._failed(model)
        self._tell(Checked(model, None if fine else MISSING))
        assert fine or not self.line(model), "law 7: all who wait hear of a failed check"

    def ready(self, model: str) -> None:
        self.process[model] = "ready"
        seconds = self.now - self.loading_since.pop(model)
        self.loaded[model] += seconds
        self._learn(model, seconds)
        self.turn[model] = tuple(self.line(model))
        self.idle_since[model] = self.ready_since[model] = self.now
        self._tell(Ready(model))

    def exit(self, model: str) -> None:
        """A failed load, a crash, or the end of a stop."""
        was = self.process.pop(model)
        self.gone_by.pop(model, None)
        self.turn.pop(model, None)
        if was == "loading":
            self.loaded[model] += self.now - self.loading_since.pop(model)
            self._failed(model)
        for request in [r for r, m in self.serving.items() if m == model]:
            del self.serving[request]
            self.lost.add(request)
        if was != "stopping":
            self._upset(model)
        self._tell(Exited(model, KILLED))
        assert was != "loading" or not self.line(model), "law 7: all who wait hear of a failed load"

    def report_late(self, model: str) -> None:
        """A process that is being stopped became ready all the same, and says so."""
        self._tell(Ready(model))

    def unload(self, *models: str, force: bool = False) -> None:
        doomed = [r for r, w in self.waiting.items() if w.model in models]
        for model in models:
            if self.process.get(model) == "ready":
                budget = 0.0 if force else self.setting.models[model].unload_timeout
                self.gone_by[model] = min(self.now + budget, self.gone_by.get(model, math.inf))
            self._upset(model)
        self._tell(AskedUnload(models, force))
        assert not any(request in self.waiting for request in doomed), "law 1: unloaded"

    def close(self) -> None:
        self.closing = True
        self._tell(Closing())

    def close_now(self) -> None:
        self.closing = self.closed = True
        self._tell(Closed())
        assert set(self.process.values()) <= {"stopping"}

    def pass_time(self, seconds: float) -> None:
        """The alarm does not ring by itself: facts may come between its time and its ring."""
        self.now += seconds

    def ring(self) -> None:
        """An alarm may ring late, and what it changes may be due at once: that rings again, but not for ever."""
        for _ in self.setting.models:
            self.alarm = None
            self._tell(Ticked())
            if self.alarm is None or self.alarm > self.now:
                break
        assert self.alarm is None or self.alarm > self.now, "it would ring for ever"
        self._nothing_is_overdue()

    def behave(self) -> bool:
        """One thing that somebody owes happens as it should: False when nobody owes anything."""
        if self.checking:
            self.answer(min(self.checking))
        elif loading := [m for m, doing in self.process.items() if doing == "loading"]:
            self.ready(loading[0])
        elif stopping := [m for m, doing in self.process.items() if doing == "stopping"]:
            self.exit(stopping[0])
        elif self.serving:
            self.leave(next(iter(self.serving)))
        elif self.waiting and self.alarm is not None:
            self.now = max(self.now, self.alarm)
            self.ring()
        else:
            for request in list(self.lost):
                self.leave(request)
            return False
        return True

    def _tell(self, fact: object) -> None:
        self._fact = fact
        orders = self.machine.handle(fact, self.now)
        if self.story is not None:
            self.story += [f"{self.now:g}: {fact}", *(f"    {order}" for order in orders)]
        for order in orders:
            self._carry_out(order)
        self._laws_of_the_moment()
        states = ((model, self.machine.state(model)) for model in self.process)
        self._drained = {model for model, state in states if state is State.DRAINING}

    def _carry_out(self, order: object) -> None:
        self._LAWS[type(order)](self, order)

    def _failed(self, model: str) -> None:
        backoff = self.setting.models[model].backoff
        self.retry_at[model] = self.now + (backoff[0] if backoff else 0.0)
        self._upset(model)

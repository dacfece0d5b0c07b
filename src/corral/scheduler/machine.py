"""The scheduler: facts in, orders out.

1. Every arrival ends in exactly one of: admitted, then departed; rejected with a reason; departed while waiting.
2. A model with a request in flight is never stopped, except by an unload (forced, or out of time), by shutdown, or by its own exit.
3. A model is started only when everyone whom its policy names, against all that are then not unloaded, is gone.
4. In-flight is never negative, and nobody is admitted above the model's limit.
5. Once a request has waited `maxWait` (at once, if it is urgent), and its own model is not on its way out, newcomers for the models in
   its way queue behind it, and no model that cannot run beside its own is started but for an older request, each once. In its own line
   it lets at most one request of each other caller go before each of its own caller's.
6. No request is admitted to a model that is draining or unloading, and nobody drains or stops for a model that has not been
   checked.
7. A load that failed is not retried before its back-off ends: newcomers get the same reason at once.
8. Nothing blocks: a process that refuses to die delays its own model and those that need its room.

What an unloaded model, a victim or a waiter gets is decided in `decision.py`, in one place, after every fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import Any, ClassVar

from corral.errors import (
    CorralError,
    LoadFailed,
    ModelNotFound,
    ModelUnloaded,
    ShuttingDown,
)
from corral.scheduler import door
from corral.scheduler.adoption import adopt
from corral.scheduler.decision import LAST_GRACE, decide
from corral.scheduler.events import (
    Arrived,
    AskedUnload,
    Checked,
    Closed,
    Closing,
    Departed,
    Exited,
    Fact,
    Order,
    Ready,
    Reject,
    Reloaded,
    Ticked,
    Wake,
)
from corral.scheduler.explain import Explanation, rehearsed
from corral.scheduler.floor import Floor
from corral.scheduler.policy import Policy
from corral.scheduler.queues import QueueRules, Waiter
from corral.scheduler.residency import Checked as Check
from corral.scheduler.residency import ModelRules, Move, Resident, State
from corral.scheduler.views import Views

__all__ = ["Machine", "ModelRules", "QueueRules", "State"]

ASKED = "asked to unload"


class Machine(Views):
    """Who runs, who waits, who leaves. Times are seconds on the caller's monotonic clock and never go back."""

    def __init__(
        self, models: Mapping[str, ModelRules], policy: Policy, queue: QueueRules | None = None
    ) -> None:
        self._floor = Floor(models, policy, queue or QueueRules())
        self._now = 0.0
        self._alarm: float | None = None

    def copy(self) -> Machine:
        """Another machine in the same state, which goes its own way from here."""
        machine = copy(self)
        machine._floor = self._floor.copy()  # noqa: SLF001 - its own kind
        return machine

    def learn(self, model: str, seconds: float) -> None:
        """A load of `model` took this long, in this run or in an earlier one. A model that is not known (any more) is ignored."""
        if known := self._floor.models.get(model):
            self._floor.learn(known, seconds)

    def explain(self, model: str, now: float, caller: str = "") -> Explanation:
        """What would become of one more request for `model` by `caller`, and why. Nothing is changed by asking."""
        rehearsal = self.copy()
        floor = rehearsal._floor  # noqa: SLF001 - its own kind
        return rehearsed(floor, lambda fact: rehearsal.handle(fact, now), model, caller, now)

    def handle(self, fact: Fact, now: float) -> list[Order]:
        """What to do about `fact`, in this order. A `Wake` is only answered when it must ring earlier than the last one."""
        floor = self._floor
        floor.orders, self._now = [], now
        if self._HANDLERS[type(fact)](self, fact) or self._is_due():
            decide(floor, now)
        self._set_alarm()
        return floor.orders

    # --- requests --------------------------------------------------------------------------------------------------

    def _arrived(self, fact: Arrived) -> bool:
        floor, model = self._floor, self._floor.models.get(fact.model)
        if model is None or model.removed or floor.closing:
            unknown = ModelNotFound(f"no model {fact.model}")
            return self._reject(fact, _shutting_down() if floor.closing else unknown)
        if fact.explicit:
            model.retry_at = self._now
        if door.is_open(floor, model) and not self._is_due():
            waiter = floor.arrival(fact, model, self._now)
            floor.admit(model, waiter, self._now)
            found = door.want_companions(floor, model, waiter, self._now)
            return found or door.was_idle(floor, model)
        if error := door.refusal(floor, model, self._now):
            return self._reject(fact, error)
        waiter = floor.arrival(fact, model, self._now)
        floor.join(model, waiter)
        found = door.want_companions(floor, model, waiter, self._now)
        return found or door.is_claim(floor, model, waiter)

    def _reject(self, fact: Arrived, error: CorralError) -> bool:
        self._floor.orders.append(Reject(fact.request, error))
        return False

    def _departed(self, fact: Departed) -> bool:
        floor, request = self._floor, fact.request
        if served := floor.serving.get(request):
            floor.depart(request, self._now)
            if not served.served or not served.line:
                return not served.served
            return not self._has_passed_on(served)
        model = floor.waiting.get(request)
        if model is None:
            return False  # its process is gone, or it was rejected
        first, urgent = model.line.oldest, model.line.urgent
        floor.leave(request)
        if model.rules.together or urgent is not model.line.urgent:
            return True
        return first is not model.line.oldest

    def _has_passed_on(self, model: Resident) -> bool:
        """The free place went to the next in line, and nothing else has to be decided: the model still serves, is waited for, and nobody
        stood behind its line who now stands before it."""
        places = model.rules.parallel - len(model.served)
        if model.state is not State.READY or len(model.line) <= places:
            return False
        if not model.rules.parallel or self._floor.verdict(model).victims:
            return False
        line = model.line
        was, urgent = line.oldest, line.urgent
        self._floor.admit_line(model, self._now)
        return urgent is line.urgent and not self._has_let_past(was, line.oldest)

    def _has_let_past(self, was: Waiter | None, oldest: Waiter | None) -> bool:
        """Whether a claim that stood behind the request `was` may stand before `oldest`."""
        floor = self._floor
        if was is oldest or was is None or oldest is None:
            return False
        first, ages_at = floor.board.oldest, floor.queue.ages_at
        if floor.others_stuck or (first is not None and first < oldest.number):
            return True
        return first is not None and ages_at(was) <= self._now < ages_at(oldest)

    # --- processes -------------------------------------------------------------------------------------------------

    def _checked(self, fact: Checked) -> bool:
        model = self._floor.models.get(fact.model)
        if model is None or model.checked is not Check.ASKED:
            return False
        model.checked = Check.CLEAN if model.first and not fact.problem else Check.UNKNOWN
        if fact.problem:
            self._floor.failed(model, fact.problem, self._now)
        return True

    def _ready(self, fact: Ready) -> bool:
        model = self._floor.models.get(fact.model)
        if model is None or not model.can(Move.READY):
            return False
        self._floor.ready(model, self._now)
        return True

    def _exited(self, fact: Exited) -> bool:
        model = self._floor.models.get(fact.model)
        if model is None or not model.can(Move.EXITED):
            return False
        was = model.state
        self._floor.gone(model, self._now)
        if was is State.LOADING:
            reason = fact.reason or LoadFailed(f"{fact.model} ended before it was ready")
            self._floor.failed(model, reason, self._now)
        elif was is not State.UNLOADING:
            model.failure = fact.reason
        if model.removed:
            self._floor.forget(model)
        return True

    # --- people ----------------------------------------------------------------------------------------------------

    def _asked_unload(self, fact: AskedUnload) -> bool:
        for name in fact.models:
            if model := self._floor.models.get(name):
                self._floor.refuse(model, partial(ModelUnloaded, f"{name} was unloaded"))
                self._unload(model, force=fact.force)
        return True

    def _unload(self, model: Resident, *, force: bool) -> None:
        """Draining and stopping have one budget, `unloadTimeout`."""
        budget = model.rules.unload_timeout
        if model.state is State.LOADING or (force and model.state in (State.READY, State.DRAINING)):
            self._floor.stop(model, self._now, budget, ASKED)
        elif model.state in (State.READY, State.DRAINING):
            self._floor.dismiss(model, self._now, ASKED, self._now + budget)

    def _reloaded(self, fact: Reloaded) -> bool:
        if not self._floor.closing:
            adopt(self._floor, fact, self._now)
        return True

    def _closing(self, _: Closing | Closed) -> bool:
        self._floor.closing = True
        for model in list(self._floor.wanting.values()):
            self._floor.refuse(model, _shutting_down)
        return True

    def _closed(self, fact: Closed) -> bool:
        self._closing(fact)
        for model in self._floor.models.values():
            if model.can(Move.STOP):
                self._floor.stop(model, self._now, LAST_GRACE, "shutting down, out of time")
        return True

    # --- the clock -------------------------------------------------------------------------------------------------

    def _ticked(self, _: Ticked) -> bool:
        self._alarm = None
        return True

    def _is_due(self) -> bool:
        return self._alarm is not None and self._now >= self._alarm

    def _set_alarm(self) -> None:
        floor = self._floor
        for name, model in floor.touched.items():
            if (at := model.next_look(self._now, floor.queue)) is not None:
                floor.agenda.book(name, at)
        floor.touched = {}
        at = floor.agenda.next
        if at is not None and (self._alarm is None or at < self._alarm):
            self._alarm = at
            floor.orders.append(Wake(at))

    _HANDLERS: ClassVar[Mapping[type[Fact], Callable[[Any, Any], bool]]] = {
        Arrived: _arrived,
        Departed: _departed,
        Checked: _checked,
        Ready: _ready,
        Exited: _exited,
        AskedUnload: _asked_unload,
        Reloaded: _reloaded,
        Closing: _closing,
        Closed: _closed,
        Ticked: _ticked,
    }
    """Each notes its fact, and says whether anything has to be decided now."""


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("corral is shutting down")

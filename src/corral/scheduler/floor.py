"""The models, who waits, who is served, and the moves that change them. Every order is written here, with the change it stands for.

Nothing is decided here: `machine.py` says what happened, `decision.py` what to do about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy

from corral.errors import CorralError, LoadFailed
from corral.scheduler.agenda import Agenda
from corral.scheduler.board import Board
from corral.scheduler.departing import without
from corral.scheduler.events import Admit, Arrived, Check, Order, Reject, Start, Stop
from corral.scheduler.policy import Policy, Verdict
from corral.scheduler.queues import QueueRules, Waiter
from corral.scheduler.residency import Checked, ModelRules, Move, Resident, State
from corral.scheduler.turns import Outlook, Turns

LATELY = 0.3
"""The weight of the newest time among those that something has taken."""

_INDEXES = ("wanting", "others", "urgent", "draining", "unchecked", "touched")
"""What a `Floor` keeps, by name, of its models."""


class Floor:
    """All that the machine knows."""

    def __init__(self, models: Mapping[str, ModelRules], policy: Policy, queue: QueueRules) -> None:
        self.models = {
            name: Resident(name, rules, queue.priority.get(name, 0))
            for name, rules in models.items()
        }
        self.policy = policy
        self.queue = queue
        self.residents: frozenset[str] = frozenset()
        """Everything that is not unloaded."""
        self.wanting: dict[str, Resident] = {}
        """The models that somebody waits for."""
        self.board = Board(policy.kind)
        """Of these, those that seek room."""
        self.others: dict[str, Resident] = {}
        """Of these, all others: they have a process already, or nobody waits for them but as companions."""
        self.urgent: dict[str, Resident] = {}
        """Those that somebody urgent waits for."""
        self.others_stuck = False
        """Some of these could not have their room when they were looked at last."""
        self.draining: dict[str, Resident] = {}
        self.waiting: dict[int, Resident] = {}
        self.serving: dict[int, Resident] = {}
        self.held: Mapping[str, Waiter] = {}
        """By model: the oldest of those in whose way it is and who have waited `maxWait`."""
        self.agenda = Agenda()
        self.orders: list[Order] = []
        self.unchecked: dict[str, Resident] = {}
        """The models of which somebody has to find out whether they can be started; perhaps some more."""
        self.touched: dict[str, Resident] = {}
        """The models whose clock has to be set again."""
        self.turns: Turns | None = None
        """As they were when somebody last asked; None when they are not the same any more."""
        self.outlook: Outlook | None = None
        """How long they may take, as of a while ago."""
        self.closing = False
        self._arrivals = 0

    # --- what is ---------------------------------------------------------------------------------------------------

    def verdict(self, model: Resident) -> Verdict:
        """Who, of those resident now, must leave for `model`."""
        if model.judged_for is not self.residents:
            model.verdict = self.policy.decide(model.model, self.residents)
            model.judged_for = self.residents
        return model.verdict

    def precedes(self, newcomer: Waiter, model: Resident, waiter: Waiter) -> bool:
        """Whether `newcomer`, in the line of `model`, goes before `waiter`, who has waited `maxWait` for its room.

        The older goes first. And a load is for everyone who is in line when it is done, in one turn: if it was loaded for someone
        older than `waiter`, all of them; if not, those who came before `waiter` had waited that long. (Serving less by each load
        would make the lines of all models grow as soon as a round of loads takes longer than `maxWait`.) Nobody whose turn is younger
        than one that is urgent has come in time.
        """
        if model.turn_of(newcomer) < waiter.number:
            return True
        if self._comes_after_urgent(model.turn_of(newcomer), waiter):
            return False
        in_turn = model.state is State.LOADING or newcomer.number <= model.turn_last
        return in_turn and newcomer.arrived < self.queue.ages_at(waiter)

    def _comes_after_urgent(self, turn: int, waiter: Waiter) -> bool:
        """Somebody urgent in the line of `waiter` is older than that turn."""
        other = self.waiting.get(waiter.request)
        urgent = other.line.urgent if other else None
        return urgent is not None and urgent.number < turn

    # --- requests --------------------------------------------------------------------------------------------------

    def arrival(self, fact: Arrived, model: Resident, now: float) -> Waiter:
        self._arrivals += 1
        clock = model.loading_clock(now)
        return Waiter(
            fact.request, self._arrivals, now, clock, fact.caller, fact.explicit, fact.urgent
        )

    def join(self, model: Resident, waiter: Waiter) -> None:
        model.line.join(waiter)
        self.waiting[waiter.request] = model
        if waiter is model.line.oldest or waiter.urgent:
            self._changed(model)

    def leave(self, request: int) -> None:
        """`request` waits no more."""
        model = self.waiting.pop(request)
        self._gone_from(model, model.line.leave(request))
        self._over(model, request)

    def want(self, model: Resident, waiter: Waiter | None) -> None:
        model.wanted = waiter
        self._changed(model)

    def admit_line(self, model: Resident, now: float) -> None:
        """Serve the line of `model`, which is ready with nobody in its way, while there is a free place and no older claim on its room."""
        while model.free and (waiter := self._next(model)) is not None:
            del self.waiting[waiter.request]
            model.line.serve(waiter.request)
            self._gone_from(model, waiter)
            self.admit(model, waiter, now)

    def _next(self, model: Resident) -> Waiter | None:
        head, holder = model.line.head, self.held.get(model.model)
        if head is None or holder is None or self.precedes(head, model, holder):
            return head
        oldest = model.line.oldest  # when it may not go before the holder, nobody may
        return oldest if oldest and self.precedes(oldest, model, holder) else None

    def admit(self, model: Resident, waiter: Waiter, now: float) -> None:
        self.serving[waiter.request] = model
        model.served[waiter.request] = None if waiter.explicit else now
        self.orders.append(Admit(waiter.request))

    def depart(self, request: int, now: float) -> None:
        model = self.serving.pop(request)
        began = model.served.pop(request)
        if began is not None:
            model.serve_seconds = lately(model.serve_seconds, now - began)
        self._over(model, request, served=True)
        if not model.served:
            model.idle_since = now
            self.touched[model.model] = model

    def refuse(self, model: Resident, error: Callable[[], CorralError]) -> None:
        """Everyone in the line of `model` gets an error of their own."""
        for waiter in list(model.line):
            self.reject(waiter.request, error())
        self.want(model, None)

    def reject(self, request: int, error: CorralError) -> None:
        self.leave(request)
        self.orders.append(Reject(request, error))

    # --- processes -------------------------------------------------------------------------------------------------

    def check(self, model: Resident) -> None:
        model.checked = Checked.ASKED
        self.orders.append(Check(model.model))

    def start(self, model: Resident, now: float) -> None:
        self._move(model, Move.START, now)
        model.checked = Checked.UNKNOWN
        self.residents |= {model.model}
        self.want(model, None)
        self.orders.append(Start(model.model))

    def stop(self, model: Resident, now: float, grace: float, why: str, target: str = "") -> None:
        self._move(model, Move.STOP, now)
        model.gone_by = None
        for request in model.served:  # cut off: no companion has to come for it any more
            self._over(model, request)
        self.orders.append(Stop(model.model, grace, why, target))

    def drain(self, model: Resident, now: float) -> None:
        self._move(model, Move.DRAIN, now)

    def dismiss(self, model: Resident, now: float, why: str, by: float = math.inf) -> None:
        """It leaves when it has drained, or `by` that time. One that has to leave already never stays longer for that."""
        if model.gone_by is None or by < model.gone_by:
            model.gone_by, model.leaves = by, why
            self.touched[model.model] = model
        if model.state is State.READY:
            self.drain(model, now)

    def spare(self, model: Resident, now: float) -> None:
        self._move(model, Move.SPARE, now)

    def ready(self, model: Resident, now: float) -> None:
        model.load_seconds = now - model.since
        self._move(model, Move.READY, now)
        self.learn(model, model.load_seconds)
        model.ready_since = model.idle_since = now
        oldest = model.line.oldest
        model.turn_last = self._arrivals
        model.turn_first = oldest.number if oldest else self._arrivals
        model.failures, model.failure = 0, None

    def gone(self, model: Resident, now: float) -> None:
        """The process is gone, and with it what was in flight: those requests depart later, without a trace."""
        self._move(model, Move.EXITED, now)
        for request in model.served:
            del self.serving[request]
            self._over(model, request, served=True)
        model.served.clear()
        model.ready_since = model.gone_by = None
        self.residents -= {model.model}

    def failed(self, model: Resident, reason: LoadFailed, now: float) -> None:
        """A load failed: everyone who waits for it hears why, and newcomers too until the back-off ends."""
        backoff = model.rules.backoff
        model.failure = reason
        model.failures += 1
        pause = backoff[min(model.failures, len(backoff)) - 1] if backoff else 0.0
        model.retry_at = now + pause
        self.refuse(model, lambda: again(reason, pause))

    def learn(self, model: Resident, seconds: float) -> None:
        """A load of `model` took this long, which may be what losing it costs."""
        model.usual_load = lately(model.usual_load, seconds)
        if (cost := model.learned_cost) is not None and self.policy.cost(model.model) != cost:
            self.policy = self.policy.priced({model.model: cost})
            self.residents = frozenset(list(self.residents))  # every verdict has to be given again
        self.turns = None

    # --- rules -----------------------------------------------------------------------------------------------------

    def follow(self, policy: Policy, queue: QueueRules) -> None:
        """From now on these rules hold: every verdict, every place and every clock has to be looked at again."""
        self.policy, self.queue = policy, queue
        self.residents = frozenset(list(self.residents))
        self.board = Board(policy.kind)
        for model in self.models.values():
            model.listed = 0
            self._changed(model)

    def forget(self, model: Resident) -> None:
        """It has no process, nobody waits for it, and nobody can any more."""
        name = model.model
        del self.models[name]
        for known in _INDEXES:
            getattr(self, known).pop(name, None)
        self.agenda.forget(name)
        self.policy = without(self.policy, name)

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def copy(self) -> Floor:
        """Another floor in the same state, which goes its own way from here."""
        floor = copy(self)
        floor.models = {name: model.copy() for name, model in self.models.items()}
        for models in _INDEXES:
            here: dict[str, Resident] = getattr(self, models)
            setattr(floor, models, {name: floor.models[name] for name in here})
        floor.waiting = {n: floor.models[model.model] for n, model in self.waiting.items()}
        floor.serving = {n: floor.models[model.model] for n, model in self.serving.items()}
        floor.board = Board(self.policy.kind)
        for model in floor.wanting.values():
            floor.board.list(model)
        floor.agenda = self.agenda.copy()
        floor.orders, floor.turns, floor.outlook = [], None, None
        return floor

    def _move(self, model: Resident, move: Move, now: float) -> None:
        model.move(move, now)
        if model.state is State.DRAINING:
            self.draining[model.model] = model
        else:
            self.draining.pop(model.model, None)
        self._changed(model)

    def _gone_from(self, model: Resident, waiter: Waiter) -> None:
        """`waiter` is no longer in the line of `model`."""
        oldest = model.line.oldest
        if oldest is None or oldest.number > waiter.number or waiter.urgent:
            self._changed(model)

    def _changed(self, model: Resident) -> None:
        """Its state, or who wants it first, is not what it was."""
        name = model.model
        self.touched[name] = model
        self.turns = None
        self.board.list(model)
        if model.line.urgent:
            self.urgent[name] = model
        else:
            self.urgent.pop(name, None)
        if model.first is None:
            self.wanting.pop(name, None)
            self.others.pop(name, None)
            if model.checked is Checked.CLEAN:  # of a load that nobody wants any more
                model.checked = Checked.UNKNOWN
            return
        self.wanting[name] = model
        if model.state is State.UNLOADED and model.checked is Checked.UNKNOWN:
            self.unchecked[name] = model
        if model.listed:
            self.others.pop(name, None)
        else:
            self.others[name] = model

    def _over(self, model: Resident, request: int, *, served: bool = False) -> None:
        """Companions that were to start for `request` start for another of the group, or not at all; but when it was served they may
        still come: the group was asked for."""
        for name in model.rules.together:
            companion = self.models[name]
            if companion.wanted and companion.wanted.request == request:
                rest = companion.wanted if served else None
                self.want(companion, self.another(companion) or rest)

    def is_afterthought(self, model: Resident) -> bool:
        """It is wanted only as a companion, and for a request that is over."""
        if model.line.oldest or model.wanted is None:
            return False
        return model.wanted.request not in self.serving and model.wanted.request not in self.waiting

    def another(self, companion: Resident) -> Waiter | None:
        """Whoever waits for a model that it is loaded together with."""
        lines = (self.models[name].line for name in companion.rules.together)
        return next((line.oldest for line in lines if line.oldest), None)


def lately(known: float | None, newest: float) -> float:
    """What something takes, as far as is known."""
    return newest if known is None else known + LATELY * (newest - known)


def again(reason: LoadFailed, retry_after: float) -> LoadFailed:
    """`reason` for one more request: its own object, with its own `retry_after`."""
    return type(reason)(
        reason.message,
        exit_code=reason.exit_code,
        log_tail=reason.log_tail,
        retry_after=retry_after,
    )

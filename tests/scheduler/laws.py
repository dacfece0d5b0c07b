"""What the scheduler has promised, held against every order and every moment. Numbers are those of the laws in `machine.py`.

What is known here is what the world has seen for itself; the machine is only asked whether it says the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from corral.errors import (
    ConcurrencyLimit,
    LoadFailed,
    ModelUnloaded,
    QueueFull,
    QueueTimeout,
    ShuttingDown,
)
from corral.scheduler.events import (
    Admit,
    Arrived,
    AskedUnload,
    Check,
    Checked,
    Exited,
    Reject,
    Start,
    Stop,
    Wake,
)
from corral.scheduler.machine import Machine, State

from .settings import Setting

STATES = {
    None: {State.UNLOADED},
    "loading": {State.LOADING},
    "ready": {State.READY, State.DRAINING},
    "stopping": {State.UNLOADING},
}


@dataclass(slots=True)
class Waiting:
    """A request that waits, as the world knows it."""

    model: str
    since: float
    loading: float
    """What the loading clock of its model said when it came."""
    caller: str = ""
    urgent: bool = False
    turns: set[str] = field(default_factory=set)
    """The rivals of its model that were started since it has waited `maxWait`."""


class Laws:
    """What the world knows, and what must be true of it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.policy = setting.policy
        """With what the loads have lately taken, where costs are learned."""
        self.callers: dict[str, list[str]] = {model: [] for model in setting.models}
        """In the order of their turns."""
        self.ready_since: dict[str, float] = {}
        self.machine = Machine(setting.models, setting.policy, setting.queue)
        self.now = 0.0
        self.alarm: float | None = None
        self.closing = self.closed = False
        self.number = 0
        self.waiting: dict[int, Waiting] = {}
        self.serving: dict[int, str] = {}
        self.lost: set[int] = set()
        """Their process is gone; they have still to depart."""
        self.over = 0
        """Requests that have come to their end."""
        self.checking: set[str] = set()
        self.clean: set[str] = set()
        self.process: dict[str, str] = {}
        """Of every model that has one: loading, ready, stopping."""
        self.gone_by: dict[str, float] = {}
        self.retry_at: dict[str, float] = {}
        self.idle_since: dict[str, float] = {}
        self.loaded: dict[str, float] = dict.fromkeys(setting.models, 0.0)
        self.usual: dict[str, float] = {}
        """What loads have lately taken."""
        self.loading_since: dict[str, float] = {}
        self.turn: dict[str, tuple[int, ...]] = {}
        """By ready model: who was in its line when it became ready."""
        self._fact: object = None
        self._drained: set[str] = set()
        """Who was draining before the fact."""

    # --- what is -----------------------------------------------------------------------------------------------------

    def line(self, model: str) -> list[int]:
        return [r for r, w in self.waiting.items() if w.model == model]

    def served(self, model: str) -> list[int]:
        return [r for r, m in self.serving.items() if m == model]

    def victims(self, model: str) -> tuple[str, ...]:
        return self.policy.decide(model, frozenset(self.process)).victims

    def in_the_way_of(self, model: str) -> tuple[str, ...]:
        """Who must leave for it; nobody as long as its own process has to go first."""
        return () if self._is_leaving(model) else self.victims(model)

    def ages_at(self, request: int) -> float:
        mine = self.waiting[request]
        return mine.since + (0.0 if mine.urgent else self.setting.max_wait)

    def aged_for(self, model: str) -> set[int]:
        return {r for r in self.line(model) if self.ages_at(r) <= self.now}

    def aged(self) -> list[int]:
        return [r for r in self.waiting if self.ages_at(r) <= self.now]

    def is_quiet(self) -> bool:
        return not (self.waiting or self.serving or self.checking or self.lost)

    # --- the laws: each order ------------------------------------------------------------------------------------------

    def _admitted(self, order: Admit) -> None:
        request = order.request
        assert request in self.waiting, "law 1: admitted once, and only who waits"
        model = self.waiting[request].model
        self._is_callers_turn(request, model)
        assert self.process.get(model) == "ready", "law 6"
        ready = self.machine.state(model) is State.READY
        assert ready or model not in self._drained, "law 6"  # it may drain from now on
        assert not self.victims(model), "law 3: somebody is in its way"
        for other, theirs in self.waiting.items():
            if model in self.in_the_way_of(theirs.model):
                assert self._goes_before(request, other), f"law 5: {request} before {other}"
        self._forget(request)
        self.serving[request] = model
        self.idle_since.pop(model, None)
        limit = self.setting.models[model].parallel
        assert not limit or len(self.served(model)) <= limit, "law 4"

    def _is_callers_turn(self, request: int, model: str) -> None:
        """Its own requests in order; callers in turn, unless only the oldest may go before someone who has waited too long."""
        line, caller = self.line(model), self.waiting[request].caller
        own = [r for r in line if self.waiting[r].caller == caller]
        assert request == own[0], "in order of arrival"
        turns = self.callers[model]
        held = any(model in self.in_the_way_of(self.waiting[r].model) for r in self.aged())
        assert caller == turns[0] or (held and request == line[0]), "callers take turns"
        turns.remove(caller)
        turns.append(caller)

    def _goes_before(self, request: int, other: int) -> bool:
        """It is no newcomer to `other`: it came before that had waited `maxWait`, or its turn is an older one."""
        mine = self.waiting[request]
        turn = self.turn[mine.model]
        in_older_turn = request in turn and turn[0] < other
        return in_older_turn or request < other or mine.since < self.ages_at(other)

    def _rejected(self, order: Reject) -> None:
        mine = self._forget(order.request)
        assert mine, "law 1: rejected once, and only who waits"
        error = order.error
        assert self._is_true(error, mine), f"law 1: not a true reason: {error!r}"
        assert error.retry_after is None or error.retry_after >= 0
        self.over += 1

    def _is_true(self, error: object, mine: Waiting) -> bool:
        rules, queue, fact = self.setting.models[mine.model], self.setting.queue, self._fact
        newcomer = isinstance(fact, Arrived)
        match error:
            case ShuttingDown():
                return self.closing
            case ModelUnloaded():
                return isinstance(fact, AskedUnload) and mine.model in fact.models
            case LoadFailed():
                mine_failed = isinstance(fact, Exited | Checked) and fact.model == mine.model
                pause = self.retry_at.get(mine.model, self.now) - self.now
                return (newcomer or mine_failed) and error.retry_after == pause
            case QueueTimeout():
                loading = self._loading_clock(mine.model) - mine.loading
                return 0 < queue.queue_timeout <= self.now - mine.since - loading
            case QueueFull():
                return newcomer and 0 < queue.max_queue <= len(self.waiting)
            case ConcurrencyLimit():
                return newcomer and 0 < rules.concurrency_limit <= self._load(mine.model)
            case _:
                return False

    def _check(self, order: Check) -> None:
        assert order.model not in self.checking
        assert order.model not in self.process
        self.checking.add(order.model)
        self.clean.discard(order.model)

    def _started(self, order: Start) -> None:
        model = order.model
        assert not self.closing
        assert model not in self.process
        assert not self.victims(model), "law 3"
        assert model in self.clean, "law 6"
        assert self.now >= self.retry_at.get(model, 0.0), "law 7"
        self._is_its_turn(model)
        self.clean.discard(model)
        self.process[model] = "loading"
        self.loading_since[model] = self.now
        if self.setting.sets is not None:
            residents = set(self.process) - self.setting.persist
            fit = len(residents) < 2 or any(residents <= s for s in self.setting.sets)
            assert fit, "law 3: the residents lie within one set"

    def _is_its_turn(self, model: str) -> None:
        """Law 5: nothing that an aged request's model cannot run beside is started but for someone older, and that once. It begins when
        its own model is not leaving any more."""
        rivals = self.setting.policy.rivals(model)
        line = self.line(model)
        for request in self.aged():
            mine = self.waiting[request]
            leaving = self._is_leaving(mine.model)
            if mine.model == model or mine.model not in rivals or leaving:
                continue
            assert line, f"law 5: {model} is started for nobody, {request} waits"
            assert line[0] < request, f"law 5: {model} is started for one younger than {request}"
            assert model not in mine.turns, f"law 5: {request} lets {model} pass a second time"
            mine.turns.add(model)

    def _stopped(self, order: Stop) -> None:
        model = order.model
        assert model in self.process
        assert order.grace > 0
        again = self.process[model] == "stopping"
        assert self.closed or not again
        if model in self.serving.values():
            out_of_time = self.gone_by.get(model, math.inf) <= self.now
            assert self.closed or out_of_time, "law 2"
        elif not self.closing and model not in self.gone_by:
            self._is_a_reason(order)
        self.process[model] = "stopping"
        self.loaded[model] += self.now - self.loading_since.pop(model, self.now)
        self.gone_by.pop(model, None)
        self.turn.pop(model, None)

    def _is_a_reason(self, order: Stop) -> None:
        model, rules = order.model, self.setting.models[order.model]
        if order.why.startswith("idle"):
            since = self.idle_since.get(model, math.inf)
            assert not rules.persist
            assert 0 < rules.ttl <= self.now - since, "idle for its ttl"
            assert not self.line(model)
        elif order.why.startswith("makes room for "):
            target = order.why.removeprefix("makes room for ").split(":")[0]
            assert self.line(target), "a victim leaves for someone who waits"
            fresh = self.process[model] == "ready" and self.now < self._fresh_until(model)
            assert not fresh or not self.aged_for(target).isdisjoint(self.line(target)), (
                "minResidency"
            )
            self._nobody_in_vain(target)
            assert target in self.clean or target in self.process, "law 6"
            assert not rules.persist
            assert self.setting.sets is not None or model in self.victims(target)
        else:
            unloaded = isinstance(self._fact, AskedUnload) and model in self._fact.models
            assert unloaded, f"stopped for no reason: {order.why}"

    def _nobody_in_vain(self, target: str) -> None:
        """For one that is urgent nobody stops before all have drained."""
        if aged := self.aged_for(target):
            urgent = all(self.waiting[r].urgent for r in aged)
            assert not urgent or not any(self.served(v) for v in self.victims(target)), "urgent"

    def _wake(self, order: Wake) -> None:
        assert order.at is not None
        assert self.alarm is None or order.at < self.alarm
        self.alarm = order.at

    _LAWS: ClassVar = {
        Admit: _admitted,
        Reject: _rejected,
        Check: _check,
        Start: _started,
        Stop: _stopped,
        Wake: _wake,
    }

    # --- the laws: each moment -----------------------------------------------------------------------------------------

    def _laws_of_the_moment(self) -> None:
        machine, setting = self.machine, self.setting
        for model, rules in setting.models.items():
            assert machine.state(model) in STATES[self.process.get(model)]
            assert machine.in_flight(model) == len(self.served(model)), "law 4"
            assert machine.waiting(model) == len(self.line(model)), "law 1"
            limit = rules.concurrency_limit
            assert not limit or self._load(model) <= limit
            if machine.state(model) is State.DRAINING:
                self._a_drain_is_for_someone(model)
        assert not (self.closing and self.waiting), "law 1: shutting down"
        assert not setting.queue.max_queue or len(self.waiting) <= setting.queue.max_queue
        for model in {w.model for w in self.waiting.values()}:
            self._somebody_has_to_act(model)
            self._nothing_blocks(model)

    def _a_drain_is_for_someone(self, model: str) -> None:
        assert self.served(model), "a drained model is stopped, or ready again"
        if self.closing or model in self.gone_by:
            return
        claims = (self.waiting[request].model for request in self.aged())
        assert any(t in self.clean or t in self.process for t in claims), "law 6"

    def _somebody_has_to_act(self, model: str) -> None:
        """Nobody hangs: of those who may be in its way, somebody is checked, loads, stops or serves."""
        company = self.setting.company[model]
        busy = self.checking | set(self.serving.values())
        busy |= {m for m, doing in self.process.items() if doing != "ready"}
        fresh = (m for m, doing in self.process.items() if doing == "ready" and m in company)
        young = any(self.now < self._fresh_until(m) for m in fresh)  # the alarm is its end
        assert company & busy or (young and self.alarm is not None), f"{model} waits for nothing"

    def _nothing_blocks(self, model: str) -> None:
        """Law 8, and no idle hands: who needs nobody's room, and whom nobody older wants gone, is not kept waiting."""
        state, head = self.machine.state(model), self.line(model)[0]
        if state is State.READY:
            limit = self.setting.models[model].parallel
            due = self.alarm is not None and self.alarm <= self.now
            free = not limit or len(self.served(model)) < limit
            if free and not due and not self.victims(model):
                assert any(self._may_hold(r, head) for r in self.aged()), "law 8: idle hands"
        elif state is State.UNLOADED and model not in self.checking:
            coming = self.checking | self.clean | {w.model for w in self.waiting.values()}
            others = (set(self.process) | coming) - {model}
            rivals = self.setting.policy.rivals(model) & others
            victims = self.policy.decide(model, frozenset(others)).victims
            assert rivals or victims, "law 8"

    def _may_hold(self, other: int, head: int) -> bool:
        mine, theirs = self.waiting[head], self.waiting[other]
        if other > head or mine.model not in self.in_the_way_of(theirs.model):
            return False
        return head not in self.turn[mine.model] or not self._goes_before(head, other)

    def _nothing_is_overdue(self) -> None:
        for model, since in self.idle_since.items():
            rules = self.setting.models[model]
            if self.process.get(model) == "ready" and rules.ttl and not rules.persist:
                assert self.line(model) or since + rules.ttl > self.now, "its ttl has passed"
        assert all(at > self.now for at in self.gone_by.values()), "its unload is overdue"
        timeout = self.setting.queue.queue_timeout
        for mine in self.waiting.values():
            room = self.now - mine.since - self._loading_clock(mine.model) + mine.loading
            loading = self.process.get(mine.model) == "loading"
            assert not timeout or loading or room < timeout, "its queueTimeout has passed"

    # --- what follows ----------------------------------------------------------------------------------------------------

    def _is_leaving(self, model: str) -> bool:
        return self.machine.state(model) in (State.DRAINING, State.UNLOADING)

    def _fresh_until(self, model: str) -> float:
        queue = self.setting.queue
        return self.ready_since[model] + (queue.min_residency if queue.use == "fair" else 0.0)

    def _load(self, model: str) -> int:
        return len(self.served(model)) + len(self.line(model))

    def _loading_clock(self, model: str) -> float:
        return self.loaded[model] + self.now - self.loading_since.get(model, self.now)

    def _is_loading_for(self, request: int) -> str | None:
        """The model that is being loaded for it."""
        mine = self.waiting.get(request)
        if mine is None or self.process.get(mine.model) != "loading":
            return None
        return mine.model if request == self.line(mine.model)[0] else None

    def _forget(self, request: int) -> Waiting | None:
        """It waits no more. A caller without another request in that line loses its turn."""
        mine = self.waiting.pop(request, None)
        if mine and mine.caller in (turns := self.callers[mine.model]):
            line = (w for w in self.waiting.values() if w.model == mine.model)
            if all(w.caller != mine.caller for w in line):
                turns.remove(mine.caller)
        return mine

    def _learn(self, model: str, seconds: float) -> None:
        usual = self.usual.get(model, seconds)
        self.usual[model] = usual + 0.3 * (seconds - usual)
        if self.setting.models[model].learns:
            self.policy = self.policy.priced({model: max(1, round(self.usual[model]))})

    def _upset(self, model: str) -> None:
        """Its turn ended early, by a crash, a failed load, an unload, or because the client left that it was loading for: it does not
        count."""
        for mine in self.waiting.values():
            mine.turns.discard(model)

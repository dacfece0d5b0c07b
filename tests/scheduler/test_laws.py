"""A random little world, on virtual time: processes that load, fail, crash and refuse to die, clients that come and leave, people who
unload and shut down. After every step the laws at the top of `machine.py` are checked against what the world has seen, and in the end,
once everything behaves, nobody may be left waiting.
"""

from __future__ import annotations

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.errors import LoadFailed
from corral.scheduler.events import (
    Admit,
    Arrived,
    AskedUnload,
    Check,
    Checked,
    Closed,
    Closing,
    Departed,
    Exited,
    Ready,
    Reject,
    Start,
    Stop,
    Ticked,
    Wake,
)
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import Machine, ModelRules, QueueRules, State
from corral.scheduler.matrix import MatrixPolicy

NAMES = tuple("abcde")
BACKOFF = 4.0
PATIENCE = 6.0
UNLOAD = 5.0
FAMILIES = (
    [frozenset("ab"), frozenset("ac"), frozenset("bcd")],
    [frozenset("a"), frozenset("b"), frozenset("c"), frozenset("d"), frozenset("e")],
    [frozenset("abcde")],
    [frozenset("abd"), frozenset("cde")],
)


def family(sets):
    together = [Every(tuple(map(One, sorted(s)))) if len(s) > 1 else One(*s) for s in sets]
    whole = Either(tuple(together)) if len(together) > 1 else together[0]
    return Matrix((NamedSet("all", "", whole),), {"a": 3})


@st.composite
def group_lists(draw):
    left = draw(st.integers(0, 5))
    parts = [NAMES[:left], NAMES[left:]]
    groups = []
    for n, members in enumerate(parts):
        together = draw(st.booleans())
        swap = not together and draw(st.booleans())
        exclusive, persistent = draw(st.booleans()), draw(st.booleans())
        groups.append(GroupRules(f"g{n}", members, swap, exclusive, persistent, together))
    return groups


class World(RuleBasedStateMachine):
    """`rules` act; `_tell` hands a fact to the machine and checks the laws on every order that comes back."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.alarm = None
        self.closing = self.closed = False
        self.number = 0
        self.arrived = {}  # request -> (model, when)
        self.caller = {}  # request -> who
        self.waiting = {}  # request -> model, oldest first
        self.serving = {}  # request -> model
        self.outcome = {}
        self.checking = set()
        self.clean = set()
        self.process = {}  # model -> loading, ready, stopping
        self.gone_by = {}
        self.retry_at = {}
        self.fresh_since = {}  # model -> since when
        self.turns = {}  # model -> who was in its line when it became ready

    @initialize(
        matrix=st.none() | st.sampled_from(FAMILIES),
        groups=group_lists(),
        parallel=st.lists(st.integers(0, 2), min_size=5, max_size=5),
        known=st.fixed_dictionaries(
            {
                "persist": st.sets(st.sampled_from("de"), max_size=1),
                "ttl": st.sampled_from([0, 3]),
                "limit": st.sampled_from([0, 0, 3]),
            }
        ),
        queue=st.builds(
            QueueRules,
            use=st.sampled_from(["fair", "fifo"]),
            priority=st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 1)),
            max_wait=st.just(PATIENCE),
            queue_timeout=st.sampled_from([0, 20.0]),
            max_queue=st.sampled_from([0, 4]),
            min_residency=st.sampled_from([0, 2.0, 2 * PATIENCE]),
        ),
    )
    def begin(self, matrix, groups, parallel, known, queue):
        self.sets = matrix
        self.persist = persist = known["persist"]
        together = {m: g.members for g in groups if g.together and not matrix for m in g.members}
        self.rules = {
            name: ModelRules(
                ttl=known["ttl"],
                parallel=parallel[n],
                concurrency_limit=known["limit"],
                unload_timeout=UNLOAD,
                persist=name in persist,
                backoff=(BACKOFF,),
                together=tuple(m for m in together.get(name, ()) if m != name),
            )
            for n, name in enumerate(NAMES)
        }
        if matrix:
            self.policy = MatrixPolicy(NAMES, family(matrix), persist)
        else:
            self.policy = Groups(NAMES, groups, persist)
        self.max_wait = PATIENCE if queue.use == "fair" else math.inf
        self.min_residency = queue.min_residency if queue.use == "fair" else 0
        self.machine = Machine(self.rules, self.policy, queue)

    # --- what happens ----------------------------------------------------------------------------------------------

    @rule(
        model=st.sampled_from(NAMES),
        explicit=st.sampled_from([False, False, False, True]),
        caller=st.sampled_from("xxy"),
    )
    def arrive(self, model, explicit, caller):
        self.number += 1
        request = self.number
        self.caller[request] = caller
        foreseen = None if explicit else self.machine.explain(model, self.now, caller)
        self.arrived[request] = (model, self.now)
        self.waiting[request] = model
        refused = self.now < self.retry_at.get(model, 0.0) and not explicit
        if explicit:
            self.retry_at.pop(model, None)
        self._tell(Arrived(request, model, explicit, caller))
        if foreseen:
            self._is_as_foreseen(request, foreseen)
        if refused and not self.closing:  # law 7
            assert isinstance(self.outcome.get(request), LoadFailed)
            assert self.outcome[request].retry_after == self.retry_at[model] - self.now

    def _is_as_foreseen(self, request, foreseen):
        outcome = self.outcome.get(request, "waits")
        if outcome == "admitted":
            assert foreseen.outcome == "served"
        elif outcome == "waits":
            assert foreseen.outcome in ("would wait", "would swap")
            assert foreseen.reason
            assert foreseen.position == self.machine.position(request)
        else:
            assert foreseen.outcome == "refused"
            assert type(foreseen.error) is type(outcome)

    @precondition(lambda self: self.waiting or self.serving)
    @rule(data=st.data())
    def depart(self, data):
        request = data.draw(st.sampled_from(sorted([*self.waiting, *self.serving])))
        self._depart(request)

    def _depart(self, request):
        if request in self.waiting:
            del self.waiting[request]
            self.outcome[request] = "left"
        else:
            del self.serving[request]
        self._tell(Departed(request))

    @precondition(lambda self: self.checking)
    @rule(data=st.data(), fine=st.sampled_from([True, True, False]))
    def answer_check(self, data, fine):
        self._answer(data.draw(st.sampled_from(sorted(self.checking))), fine=fine)

    def _answer(self, model, *, fine):
        self.checking.remove(model)
        if fine:
            self.clean.add(model)
        else:
            self.retry_at[model] = self.now + BACKOFF
        self._tell(Checked(model, None if fine else LoadFailed(f"{model}: no such file")))
        assert fine or not self.machine.waiting(model)

    @precondition(lambda self: self.process)
    @rule(data=st.data(), end=st.booleans())
    def report(self, data, end):
        model = data.draw(st.sampled_from(sorted(self.process)))
        if self.process[model] == "loading" and not end:
            self._ready(model)
        else:
            self._exit(model)

    def _ready(self, model):
        self.process[model] = "ready"
        self.fresh_since[model] = self.now
        self.turns[model] = [r for r, m in self.waiting.items() if m == model]
        self._tell(Ready(model))

    def _exit(self, model):
        was = self.process.pop(model)
        self.fresh_since.pop(model, None)
        self.gone_by.pop(model, None)
        for request in [r for r, m in self.serving.items() if m == model]:
            del self.serving[request]  # departs later, which must not matter
        if was == "loading":
            self.retry_at[model] = self.now + BACKOFF
        self._tell(Exited(model, LoadFailed(f"{model}: killed", exit_code=-9)))
        if was == "loading":
            assert not self.machine.waiting(model)

    @rule(models=st.sets(st.sampled_from(NAMES), min_size=1), force=st.booleans())
    def unload(self, models, force):
        doomed = [r for r, m in self.waiting.items() if m in models]
        for model in models:
            if self.process.get(model) == "ready":
                self.gone_by.setdefault(model, self.now if force else self.now + UNLOAD)
                if force:
                    self.gone_by[model] = self.now
        self._tell(AskedUnload(tuple(sorted(models)), force))
        assert not any(request in self.waiting for request in doomed)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def time_passes(self, seconds):
        self._until(self.now + seconds)

    @precondition(lambda self: self.alarm is not None)
    @rule()
    def the_alarm_rings(self):
        self._until(max(self.alarm, self.now))

    def _until(self, then):
        while self.alarm is not None and self.alarm <= then:
            self.now, self.alarm = max(self.now, self.alarm), None
            self._tell(Ticked())
            assert self.alarm is None or self.alarm > self.now, "it would ring for ever"
        self.now = then

    @precondition(lambda self: self.number > 12 and not self.closing)
    @rule()
    def close(self):
        self.closing = True
        self._tell(Closing())
        assert not self.waiting

    @precondition(lambda self: self.closing)
    @rule()
    def close_for_good(self):
        self.closed = True
        self._tell(Closed())

    # --- the laws --------------------------------------------------------------------------------------------------

    def _tell(self, fact):
        for order in self.machine.handle(fact, self.now):
            match order:
                case Admit(request):
                    self._admitted(request)
                case Reject(request, error):
                    assert self.waiting.pop(request, None), "law 1"
                    self.outcome[request] = error
                case Check(model):
                    assert model not in self.checking
                    assert model not in self.process
                    self.checking.add(model)
                    self.clean.discard(model)
                case Start(model):
                    self._started(model)
                case Stop(model):
                    self._stopped(order)
                case Wake(at):
                    assert self.alarm is None or at < self.alarm
                    self.alarm = at

    def _admitted(self, request):
        model = self.waiting.pop(request, None)
        assert model, "law 1"
        own = [r for r, m in self.waiting.items() if m == model]
        assert request == min([request, *(r for r in own if self._is_by_the_same(r, request))])
        assert self.process[model] == "ready", "law 6"
        assert self.machine.state(model) is State.READY, "law 6"
        assert not self.policy.decide(model, frozenset(self.process)).victims
        self.serving[request] = model
        limit = self.rules[model].parallel
        assert not limit or list(self.serving.values()).count(model) <= limit, "law 4"
        self.outcome[request] = "admitted"
        for other in self.waiting:
            if model in self._in_the_way_of(other):
                assert self._goes_before(request, other), "law 5"

    def _is_by_the_same(self, one, other):
        return self.caller[one] == self.caller[other]

    def _goes_before(self, request, other):
        """A newcomer is one that came after `other` had waited `maxWait`, and not in time for a turn that is older than `other`."""
        turn = self.turns[self.arrived[request][0]]
        in_turn = request in turn and min(turn) < other
        return in_turn or self.arrived[request][1] < self.arrived[other][1] + self.max_wait

    def _in_the_way_of(self, request):
        """Who must leave for it; nobody as long as its own process has to go first."""
        model = self.waiting[request]
        if self.machine.state(model) in (State.DRAINING, State.UNLOADING):
            return ()
        return self.policy.decide(model, frozenset(self.process)).victims

    def _started(self, model):
        assert model not in self.process
        assert not self.policy.decide(model, frozenset(self.process)).victims, "law 3"
        assert model in self.clean, "law 6"
        assert self.now >= self.retry_at.get(model, 0.0), "law 7"
        self.clean.discard(model)
        self.process[model] = "loading"
        if self.sets:
            residents = set(self.process) - self.persist
            assert len(residents) == 1 or any(residents <= s for s in self.sets) or not residents

    def _stopped(self, order):
        model = order.model
        assert model in self.process
        assert order.grace > 0
        if model in self.serving.values():  # law 2
            assert self.closed or self.gone_by[model] <= self.now
        else:
            assert self.closed or self.process[model] != "stopping"
        if order.why.startswith("makes room for "):
            target = order.why.removeprefix("makes room for ").split(":")[0]
            assert target in self.clean or target in self.process, "law 6"
            assert model not in self.persist
            ready = self.fresh_since.get(model)
            if ready is not None and self.now < ready + self.min_residency:
                oldest = min(r for r, m in self.waiting.items() if m == target)
                assert self.arrived[oldest][1] + self.max_wait <= self.now, "minResidency"
        self.process[model] = "stopping"
        self.gone_by.pop(model, None)

    @invariant()
    def the_machine_knows_what_the_world_knows(self):
        if not self.number:
            return
        states = {
            None: {State.UNLOADED},
            "loading": {State.LOADING},
            "ready": {State.READY, State.DRAINING},
            "stopping": {State.UNLOADING},
        }
        for model in NAMES:
            assert self.machine.state(model) in states[self.process.get(model)]
            assert self.machine.in_flight(model) == list(self.serving.values()).count(model)
            assert self.machine.waiting(model) == list(self.waiting.values()).count(model)
        places = [self.machine.position(request) for request in self.waiting]
        assert sorted(places) == list(range(1, len(self.waiting) + 1))

    @invariant()
    def a_drain_is_for_someone(self):
        if not self.number or self.closing:
            return
        for model in NAMES:
            if self.machine.state(model) is State.DRAINING and model not in self.gone_by:
                claimants = [
                    t
                    for r, t in self.waiting.items()
                    if self.arrived[r][1] + self.max_wait <= self.now
                    and (t in self.clean or t in self.process)
                ]
                assert claimants, "law 6"

    @invariant()
    def nothing_blocks(self):
        """Law 8: who needs nobody's room, and whom nobody will want gone, is not kept waiting."""
        if not self.number or self.closing:
            return
        others = frozenset(self.process) | set(self.waiting.values())
        for model in set(self.waiting.values()) - self.checking:
            rivals = self.policy.rivals(model) & (others - {model})
            if rivals or self.policy.decide(model, others - {model}).victims:
                continue
            assert self.machine.state(model) is not State.UNLOADED
            if self.machine.state(model) is State.READY:
                busy = list(self.serving.values()).count(model)
                assert busy
                assert busy == self.rules[model].parallel

    @invariant()
    def who_waits_waits_for_something(self):
        """Nobody hangs: somebody else has still to act."""
        moving = set(self.process.values()) & {"loading", "stopping"}
        ages = (self.arrived[r][1] + self.max_wait for r in self.waiting)
        clock = self.alarm is not None and self.min_residency and self.alarm <= max(ages, default=0)
        assert not self.waiting or self.checking or self.serving or moving or clock

    def _behave(self):
        for model in sorted(self.checking):
            self._answer(model, fine=True)
        for model, doing in sorted(self.process.items()):
            if doing == "loading":
                self._ready(model)
            elif doing == "stopping":
                self._exit(model)
        for request in sorted(self.serving):
            self._depart(request)

    def teardown(self):
        """From here on every process does as it is told and every client is served: nobody may be left."""
        if not self.number:
            return
        for _ in range(40 * (self.number + 10)):
            self._behave()
            if not (self.waiting or self.serving or self.checking):
                break
            if self.alarm is not None and self.min_residency:
                self._until(self.alarm)
        assert not self.waiting
        assert set(self.outcome) == set(self.arrived), "law 1"
        for _ in range(3 * len(NAMES)):  # nothing stays busy for nobody
            if self.alarm is not None:
                self._until(self.alarm)


TestLaws = World.TestCase
TestLaws.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

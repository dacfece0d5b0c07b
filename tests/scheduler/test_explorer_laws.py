"""The world of `world.py` in the hands of a searcher, which also shrinks what it finds: bigger than what can be walked through, with
configurations of its own making. Whatever was done, in the end everybody behaves and nobody is left.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import ModelRules, QueueRules
from corral.scheduler.matrix import MatrixPolicy

from .settings import Setting
from .world import World

NAMES = tuple("abcde")
SOME = st.sets(st.sampled_from(NAMES), min_size=1).map(lambda s: tuple(sorted(s)))


@st.composite
def grouped(draw):
    """Some models in up to three groups of any kind, some in none."""
    place = draw(st.lists(st.integers(0, 3), min_size=5, max_size=5))
    groups = []
    for n in range(3):
        members = tuple(m for m, p in zip(NAMES, place, strict=True) if p == n)
        together = draw(st.booleans())
        swap = not together and draw(st.booleans())
        exclusive, persistent = draw(st.booleans()), draw(st.booleans())
        groups.append(GroupRules(f"g{n}", members, swap, exclusive, persistent, together))
    return groups


matrices = st.tuples(
    st.lists(st.lists(SOME, min_size=1, max_size=3), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 4)),
)

queues = st.builds(
    QueueRules,
    use=st.sampled_from(["fair", "fair", "fifo"]),
    priority=st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 1)),
    max_wait=st.sampled_from([0.0, 2.0, 6.0]),
    queue_timeout=st.sampled_from([0.0, 6.0, 20.0]),
    max_queue=st.sampled_from([0, 3]),
    min_residency=st.sampled_from([0.0, 0.0, 2.0]),
)

rules = st.builds(
    ModelRules,
    ttl=st.sampled_from([0.0, 0.0, 1.0]),
    parallel=st.sampled_from([0, 1, 2]),
    concurrency_limit=st.sampled_from([0, 0, 1, 3]),
    unload_timeout=st.sampled_from([0.5, 3.0]),
    persist=st.sampled_from([False, False, False, True]),
    backoff=st.sampled_from([(), (2.0,)]),
)


def state_of(models):
    return Every(tuple(map(One, models))) if len(models) > 1 else One(*models)


def matrix_setting(sets, costs, models, queue):
    roots = [tuple(map(state_of, s)) for s in sets]
    named = tuple(
        NamedSet(f"s{n}", "", Either(parts) if len(parts) > 1 else parts[0])
        for n, parts in enumerate(roots)
    )
    persist = [name for name, known in models.items() if known.persist]
    policy = MatrixPolicy(NAMES, Matrix(named, costs), persist)
    return Setting("matrix", models, policy, queue, tuple(frozenset(s) for f in sets for s in f))


def group_setting(groups, models, queue):
    together = {m: g.members for g in groups if g.together for m in g.members}
    companions = {m: tuple(o for o in members if o != m) for m, members in together.items()}
    models = {
        name: ModelRules(
            known.ttl,
            known.parallel,
            known.concurrency_limit,
            known.unload_timeout,
            persist=known.persist,
            backoff=known.backoff,
            together=companions.get(name, ()),
        )
        for name, known in models.items()
    }
    persist = [name for name, known in models.items() if known.persist]
    return Setting("groups", models, Groups(NAMES, groups, persist), queue)


class Life(RuleBasedStateMachine):
    """Each rule is one thing that happens; `World` does the rest."""

    @initialize(
        sets=st.none() | matrices,
        groups=grouped(),
        models=st.fixed_dictionaries(dict.fromkeys(NAMES, rules)),
        queue=queues,
    )
    def begin(self, sets, groups, models, queue):
        if sets:
            self.world = World(matrix_setting(*sets, models, queue))
        else:
            self.world = World(group_setting(groups, models, queue))

    def some(self, data, things):
        return data.draw(st.sampled_from(sorted(things)))

    @rule(
        model=st.sampled_from(NAMES),
        caller=st.sampled_from("xxy"),
        how=st.sampled_from(["", "", "", "explicit", "urgent"]),
    )
    def arrive(self, model, caller, how):
        self.world.arrive(model, caller, explicit=bool(how), urgent=how == "urgent")

    @precondition(lambda self: self.world.waiting or self.world.serving or self.world.lost)
    @rule(data=st.data())
    def leave(self, data):
        world = self.world
        self.world.leave(self.some(data, [*world.waiting, *world.serving, *world.lost]))

    @precondition(lambda self: self.world.checking)
    @rule(data=st.data(), fine=st.sampled_from([True, True, False]))
    def answer(self, data, fine):
        self.world.answer(self.some(data, self.world.checking), fine=fine)

    @precondition(lambda self: "loading" in self.world.process.values())
    @rule(data=st.data())
    def ready(self, data):
        loading = [m for m, doing in self.world.process.items() if doing == "loading"]
        self.world.ready(self.some(data, loading))

    @precondition(lambda self: self.world.process)
    @rule(data=st.data())
    def exit(self, data):
        self.world.exit(self.some(data, self.world.process))

    @precondition(lambda self: "stopping" in self.world.process.values())
    @rule(data=st.data())
    def report_late(self, data):
        stopping = [m for m, doing in self.world.process.items() if doing == "stopping"]
        self.world.report_late(self.some(data, stopping))

    @rule(models=SOME, force=st.booleans())
    def unload(self, models, force):
        self.world.unload(*models, force=force)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]), late=st.sampled_from([False, False, True]))
    def time_passes(self, seconds, late):
        """In time for its alarms, or (when the machine it runs on is busy) past them."""
        world, then = self.world, self.world.now + seconds
        while not late and world.alarm is not None and world.alarm <= then:
            world.now = max(world.now, world.alarm)
            world.ring()
        world.now = then

    @precondition(lambda self: self.world.alarm is not None)
    @rule()
    def the_alarm_rings(self):
        self.world.now = max(self.world.now, self.world.alarm)
        self.world.ring()

    @precondition(lambda self: self.world.number > 10 and not self.world.closing)
    @rule()
    def close(self):
        self.world.close()

    @precondition(lambda self: self.world.closing)
    @rule()
    def close_now(self):
        self.world.close_now()

    def teardown(self):
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(40 * (world.number + 10)):
            if not world.behave():
                break
        assert world.is_quiet(), "law 1: left hanging"
        assert world.over == world.number, "law 1"
        assert not world.closing or not world.process, "a process outlives the shutdown"


TestLives = Life.TestCase
TestLives.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

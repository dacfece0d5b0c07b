"""Another configuration while models load, serve, drain and stop: plays, and random days on which the rules change.

On those days every law of `laws.py` is held against every order, under the rules that are in force at that moment.
"""

from __future__ import annotations

import math
from random import Random

import pytest

from corral.errors import LoadFailed, ModelNotFound
from corral.scheduler.departing import Departing, succeeding
from corral.scheduler.events import (
    Admit,
    Arrived,
    AskedUnload,
    Check,
    Checked,
    Closing,
    Departed,
    Exited,
    Ready,
    Reloaded,
    Start,
    Ticked,
)
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import ModelRules, QueueRules, State

from .laws import Laws
from .settings import FAIR, FAVOURING_C, FIFO, FRESH, POLICIES, setting
from .world import World


@pytest.fixture
def reloaded(stage):
    """`reloaded("abc", restarted="a", ttl=5)`: these models, with these rules, everyone alone unless a policy says otherwise."""

    def fact(models="abcd", policy=None, queue=None, restarted="", rechecked="", **rules):
        return Reloaded(
            {name: ModelRules(**rules) for name in models},
            policy or stage.alone(models),
            queue or QueueRules(),
            frozenset(restarted),
            frozenset(rechecked),
        )

    return fact


def serving(model, request=1):
    return (
        (Arrived(request, model), [Check(model)]),
        (Checked(model), [Start(model)]),
        (Ready(model), [Admit(request)]),
    )


# --- what did not change -------------------------------------------------------------------------------------------------


def test_a_model_that_did_not_change_notices_nothing(stage, reloaded):
    machine = stage.machine(ttl=10)
    stage.play(
        machine,
        *serving("a"),
        (reloaded("abcd", ttl=10), []),
        (Arrived(2, "a"), [Admit(2)]),
        (Departed(1), []),
        (Departed(2), []),
        (reloaded("abcd", ttl=10), []),
    )
    assert machine.state("a") is State.READY
    assert machine.ready_since("a") == 2
    assert machine.ttl_deadline("a") == 16  # since its last request, not since the reload


def test_another_ttl_applies_to_who_is_idle_already(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (Departed(1), []),
        (20, reloaded(ttl=5), []),
        (20, Ticked(), [stage.halt("a")]),
    )


def test_a_load_goes_on_and_its_waiters_wait_on(stage, reloaded):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (reloaded("abcde"), []),
        (Ready("a"), [Admit(1)]),
    )


def test_a_check_that_is_on_its_way_still_counts(stage, reloaded):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (reloaded("abcde"), []),
        (Checked("a"), [Start("a")]),
    )


def test_an_eviction_goes_on(stage, reloaded):
    stage.play(
        stage.machine(queue=QueueRules(max_wait=0)),
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (reloaded(queue=QueueRules(max_wait=0)), []),
        (Arrived(3, "a"), []),  # it drains
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b"), Check("a")]),
    )


# --- other rules ---------------------------------------------------------------------------------------------------------


def test_a_higher_limit_lets_the_line_in_at_once(stage, reloaded):
    stage.play(
        stage.machine(parallel=1),
        *serving("a"),
        (Arrived(2, "a"), []),
        (Arrived(3, "a"), []),
        (reloaded(parallel=2), [Admit(2)]),
        (reloaded(), [Admit(3)]),
    )


def test_a_lower_limit_ends_nothing_that_is_served(stage, reloaded):
    stage.play(
        stage.machine(),
        *serving("a"),
        (Arrived(2, "a"), [Admit(2)]),
        (reloaded(parallel=1), []),
        (Arrived(3, "a"), []),
        (Departed(1), []),
        (Departed(2), [Admit(3)]),
    )


def test_models_that_were_rivals_run_side_by_side(stage, reloaded):
    stage.play(
        stage.machine(),
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (reloaded(policy=stage.together()), [Start("b")]),
        (Ready("b"), [Admit(2)]),
    )


def test_models_that_have_become_rivals_are_not_stopped_before_somebody_wants_them(stage, reloaded):
    machine = stage.machine(policy=stage.together())
    stage.play(
        machine,
        *serving("a", 1),
        *serving("b", 2),
        (Departed(1), []),
        (reloaded(), []),
        (Departed(2), []),
        (Arrived(3, "a"), [stage.halt("b")]),
        (Exited("b"), [Admit(3)]),
    )


def test_another_order(stage, reloaded):
    stage.play(
        stage.machine(),
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "c"), [Check("c")]),
        (Checked("b"), []),
        (Checked("c"), []),
        (reloaded(queue=QueueRules(priority={"c": 5})), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("c")]),
    )


def test_a_shorter_patience_is_told_at_once(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (10, reloaded(queue=QueueRules(max_wait=1)), []),
    )
    assert machine.state("a") is State.DRAINING


def test_a_back_off_ends(stage, reloaded):
    stage.play(
        stage.machine(backoff=(60,)),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a", LoadFailed("no")), [stage.refuse(1, LoadFailed)]),
        (Arrived(2, "a"), [stage.refuse(2, LoadFailed)]),
        (reloaded(), []),
        (Arrived(3, "a"), [Check("a")]),
    )


def test_companions_of_another_group(stage, reloaded):
    """c was to come with a; now b is."""
    trio = {name: ModelRules() for name in "abc"}
    old = trio | {"a": ModelRules(together=("c",)), "c": ModelRules(together=("a",))}
    new = trio | {"a": ModelRules(together=("b",)), "b": ModelRules(together=("a",))}
    machine = stage.machine("abc", policy=stage.together())
    stage.play(
        machine,
        (Reloaded(old, stage.together(), QueueRules()), []),
        (Arrived(1, "a"), [Check("a"), Check("c")]),
        (Reloaded(new, stage.together(), QueueRules()), []),
        (Checked("c"), []),
        (Checked("a"), [Start("a")]),
        (Arrived(2, "a"), [Check("b")]),
        (Checked("b"), [Start("b")]),
    )
    assert machine.state("c") is State.UNLOADED


def test_costs_that_were_learned_hold_under_the_new_rules(stage, reloaded):
    machine = stage.machine("ab")
    machine.learn("a", 40)
    prices = {}

    class Priced(type(stage.alone())):
        def priced(self, costs):
            prices.update(costs)
            return self

    models = {"a": ModelRules(learns=True), "b": ModelRules(learns=True)}
    machine.handle(Reloaded(models, Priced({}), QueueRules()), 0.0)
    assert prices == {"a": 40}


# --- models that changed -------------------------------------------------------------------------------------------------


def test_a_changed_model_finishes_what_it_serves_and_its_waiters_get_the_new_one(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (reloaded(restarted="a"), []),
        (Arrived(2, "a"), []),
        (Arrived(3, "a"), []),
        (500, Ticked(), []),  # no time limit: nobody is cut off for an edit
        (Departed(1), [stage.halt("a", 10)]),
        (Exited("a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(2), Admit(3)]),
    )


def test_those_who_stood_in_its_line_wait_on(stage, reloaded):
    stage.play(
        stage.machine(parallel=1),
        *serving("a"),
        (Arrived(2, "a"), []),
        (reloaded(restarted="a", parallel=1), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(2)]),
    )


def test_a_changed_model_that_is_idle_leaves_and_comes_back_when_it_is_wanted(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (Departed(1), []),
        (reloaded(restarted="a"), [stage.halt("a", 10)]),
        (Exited("a"), []),
        (Arrived(2, "a"), [Check("a")]),
    )


def test_the_load_of_a_changed_model_begins_anew(stage, reloaded):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (reloaded(restarted="a"), [stage.halt("a")]),
        (Ready("a"), []),  # too late
        (Exited("a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1)]),
    )


def test_a_changed_model_is_checked_again(stage, reloaded):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (reloaded(restarted="a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
    )


def test_a_changed_model_that_was_clean_and_waits_for_room_is_checked_again(stage, reloaded):
    stage.play(
        stage.machine(),
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (reloaded(restarted="b"), [Check("b")]),
        (Departed(1), []),
        (Checked("b"), [stage.halt("a")]),
    )


def test_another_check_matters_only_while_it_loads(stage, reloaded):
    stage.play(
        stage.machine(policy=stage.together()),
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), [Start("b")]),
        (reloaded(policy=stage.together(), rechecked="abc"), [stage.halt("b")]),
        (Arrived(3, "a"), [Admit(3)]),
    )


def test_a_changed_model_that_drains_for_somebody_is_not_spared(stage, reloaded):
    machine = stage.machine(queue=QueueRules(max_wait=0))
    stage.play(
        machine,
        *serving("a"),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (reloaded(queue=QueueRules(max_wait=0), restarted="a"), []),
        (Departed(2), []),
        (Arrived(3, "a"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Check("a")]),
    )


def test_unloading_a_changed_model_has_its_time_limit(stage, reloaded):
    stage.play(
        stage.machine(),
        *serving("a"),
        (reloaded(restarted="a"), []),
        (10, AskedUnload(("a",)), []),
        (20, Ticked(), [stage.halt("a", 1)]),
    )


def test_a_failure_of_the_old_command_is_history(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a", LoadFailed("no")), [stage.refuse(1, LoadFailed)]),
        (reloaded(restarted="a"), []),
    )
    assert machine.last_failure("a") is None


# --- models that are gone ------------------------------------------------------------------------------------------------


def test_a_removed_model_finishes_what_it_serves_and_refuses_the_rest(stage, reloaded):
    machine = stage.machine(parallel=1)
    stage.play(
        machine,
        *serving("a"),
        (Arrived(2, "a"), []),
        (reloaded("bcd"), [stage.refuse(2, ModelNotFound)]),
        (Arrived(3, "a"), [stage.refuse(3, ModelNotFound)]),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), []),
    )
    assert machine.models == ("b", "c", "d")
    with pytest.raises(KeyError):
        machine.state("a")


def test_a_removed_model_that_nobody_uses_is_gone_at_once(stage, reloaded):
    machine = stage.machine()
    stage.play(machine, (reloaded("b"), []), (Arrived(1, "a"), [stage.refuse(1, ModelNotFound)]))
    assert machine.models == ("b",)


def test_the_check_of_a_removed_model_is_not_wanted_any_more(stage, reloaded):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (reloaded("b"), [stage.refuse(1, ModelNotFound)]),
        (Checked("a"), []),
    )


def test_the_load_of_a_removed_model_is_stopped(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (reloaded("b"), [stage.refuse(1, ModelNotFound), stage.halt("a")]),
        (Exited("a"), []),
    )
    assert machine.models == ("b",)


def test_a_model_waits_for_the_end_of_a_removed_one_that_it_could_not_run_beside(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (reloaded("bc"), []),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b")]),
    )


def test_and_not_for_one_that_it_could(stage, reloaded):
    machine = stage.machine(policy=stage.together())
    stage.play(
        machine,
        *serving("a"),
        (reloaded("bc"), []),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), [Start("b")]),
    )


def test_a_new_model_waits_for_removed_ones_that_it_was_never_compared_with(stage, reloaded):
    machine = stage.machine("ab", policy=stage.together())
    stage.play(
        machine,
        *serving("a"),
        (reloaded("bz"), []),
        (Arrived(2, "z"), [Check("z")]),
        (Checked("z"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("z")]),
    )


def test_who_runs_already_is_served_beside_a_removed_one(stage, reloaded):
    stage.play(
        stage.machine(policy=stage.together()),
        *serving("a", 1),
        *serving("b", 2),
        (reloaded("b"), []),
        (Arrived(3, "b"), [Admit(3)]),
    )


def test_a_model_that_comes_back_while_it_leaves(stage, reloaded):
    machine = stage.machine()
    stage.play(
        machine,
        *serving("a"),
        (reloaded("b"), []),
        (reloaded("ab"), []),
        (Arrived(2, "a"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Check("a")]),
    )


def test_many_reloads_while_one_is_leaving(stage, reloaded):
    """What is remembered does not grow with their number."""
    machine = stage.machine()
    stage.play(machine, *serving("a"))
    for _ in range(2000):
        machine.handle(reloaded("bc"), 10.0)
    stage.play(
        machine,
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b")]),
        start=11,
    )


def test_the_companion_of_a_removed_model(stage, reloaded):
    both = {"a": ModelRules(together=("b",)), "b": ModelRules(together=("a",))}
    machine = stage.machine("ab", policy=stage.together())
    stage.play(
        machine,
        (Reloaded(both, stage.together(), QueueRules()), []),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (reloaded("b"), [stage.refuse(1, ModelNotFound)]),
        (Checked("b"), []),
    )
    assert machine.state("b") is State.UNLOADED


def test_nothing_is_taken_over_while_corral_leaves(stage, reloaded):
    machine = stage.machine()
    stage.play(machine, *serving("a"), (Closing(), []), (reloaded("b"), []))
    assert "a" in machine.models


# --- those who are leaving, as a policy ----------------------------------------------------------------------------------


def leaving(gone="g"):
    """`g` leaves, which under the old rules was alone; now `a` and `b` run together and `c` alone."""
    old = Groups("abcg", [GroupRules("side", ("b",), swap=False, exclusive=False)])
    new = Groups("abcn", [GroupRules("pair", ("a", "b"), swap=False)])
    return succeeding(new, old, frozenset("abcg"), frozenset(gone))


@pytest.mark.parametrize(
    ("target", "residents", "victims"),
    [
        ("a", "g", "g"),
        ("a", "bg", "g"),
        ("c", "bg", "bg"),
        ("b", "g", ""),  # was in a group that asks nobody to leave
        ("n", "g", "g"),  # nobody knows
        ("a", "ag", ""),  # is loaded already
        ("a", "b", ""),
    ],
)
def test_who_waits_for_whom(target, residents, victims):
    verdict = leaving().decide(target, frozenset(residents))
    assert verdict.victims == tuple(victims)
    assert bool(verdict.why) == bool(victims)
    assert leaving().options(target, frozenset(residents))[0].victims == tuple(victims)


def test_a_reason_names_who_is_leaving():
    why = leaving().decide("a", frozenset("g")).why
    assert why == "g was removed from the configuration, and is not gone yet"


def test_the_rest_is_what_the_new_rules_say():
    policy = leaving()
    assert isinstance(policy, Departing)
    assert policy.rivals("a") == frozenset("cn")
    assert policy.evictors("g") == frozenset()
    assert policy.evictors("a") == frozenset("cn")
    assert policy.cost("a") is policy.cost("g") is None
    assert policy.kind("a") != policy.kind("b")  # one waits for g, one does not
    assert isinstance(policy.priced({}), Departing)
    assert isinstance(leaving(gone=""), Groups)


# --- random days ---------------------------------------------------------------------------------------------------------

EVER = "abcd"
CASTS = ("abc", "abcd", "ab", "ac", "bcd", "bc")
RULES = ({}, {"parallel": 1}, {"parallel": 2}, {"ttl": 1.0}, {"ttl": 2.0, "parallel": 1})


class Changing(World):
    """A world whose rules may change. `removed` models still run, under the rules that they were loaded by."""

    def __init__(self, known):
        super().__init__(known)
        self.removed = {}
        for name in EVER:
            self.callers.setdefault(name, [])
            self.loaded.setdefault(name, 0.0)

    def reload(self, new, restarted):
        old, self.setting, self.policy = self.setting, new, new.policy
        gone = old.models.keys() - new.models.keys()
        changed = restarted & old.models.keys() & new.models.keys()
        before = {m: self._seen(m) for m in (old.models.keys() & new.models.keys()) - changed}
        doomed = [r for r, w in self.waiting.items() if w.model in gone]
        for name in gone | changed:
            if self.process.get(name, "stopping") != "stopping":
                self.gone_by.setdefault(name, math.inf)
        self.removed |= dict.fromkeys(gone & self.process.keys(), old)
        self.removed = {m: s for m, s in self.removed.items() if m not in new.models}
        self.checking -= gone | changed
        self.clean -= gone | changed
        self.retry_at.clear()
        for name in EVER:
            self._upset(name)
        self._tell(Reloaded(new.models, new.policy, new.queue, frozenset(changed)))
        assert not any(request in self.waiting for request in doomed), "law 1: removed"
        for name, seen in before.items():
            if seen[0] in (State.LOADING, State.READY) and name not in self.gone_by:
                self._is_untouched(name, seen)

    def _seen(self, model):
        machine = self.machine
        return machine.state(model), machine.ready_since(model), tuple(self.served(model))

    def _is_untouched(self, model, seen):
        """Whatever its rules are now, its process and what it serves stay; it may be wanted gone by others."""
        state, since, served = self._seen(model)
        assert served[: len(seen[2])] == seen[2]
        if self.process[model] != "stopping":
            assert state in (seen[0], State.DRAINING)
            assert since == seen[1]

    def exit(self, model):
        self.removed.pop(model, None)
        super().exit(model)

    def victims(self, model):
        there = frozenset(self.process.keys() - self.removed.keys())
        return self.policy.decide(model, there).victims

    def _is_true(self, error, mine):
        if mine.model not in self.setting.models:
            return isinstance(error, ModelNotFound) and isinstance(self._fact, Reloaded | Arrived)
        return super()._is_true(error, mine)

    def _started(self, order):
        for name, known in self.removed.items():
            there = frozenset(self.process.keys() & known.models.keys())
            beside = order.model in known.models
            assert beside, "law 3: who knows whether they fit"
            assert name not in known.policy.decide(order.model, there).victims, "law 3: removed"
        # One that persists fits beside everything, also beside those who would not be together under the new rules.
        others = self.process if order.model in self.setting.persist else self.removed
        hidden = {name: self.process.pop(name) for name in list(others)}
        super()._started(order)
        self.process |= hidden

    _LAWS = Laws._LAWS | {Start: _started}

    def _nothing_is_overdue(self):
        here = self.setting.models
        self.idle_since = {m: at for m, at in self.idle_since.items() if m in here}
        super()._nothing_is_overdue()

    def _somebody_has_to_act(self, model):
        if not self.removed:
            super()._somebody_has_to_act(model)

    def _nothing_blocks(self, model):
        if not self.removed or self.machine.state(model) is not State.UNLOADED:
            super()._nothing_blocks(model)


def some_setting(dice):
    while True:
        names, policy = dice.choice(CASTS), dice.choice(POLICIES)
        if "together" not in policy or {"a", "b"} <= set(names):
            queue = dice.choice((FAIR, FAIR, FIFO, FRESH, FAVOURING_C))
            persist = dice.choice(("", "", "c"))
            persist = persist if persist in names else ""
            return setting(policy, queue, names, persist, **dice.choice(RULES))


def a_day(number):
    dice = Random(number)
    world = Changing(some_setting(dice))
    for _ in range(60):
        something(world, dice)
    for _ in range(2000):
        if not world.behave():
            break
    assert world.is_quiet(), f"law 1: left hanging: {world.waiting}"
    return world


def something(world, dice):
    """One thing that may happen now."""
    loading = [m for m, doing in world.process.items() if doing == "loading"]
    stopping = [m for m, doing in world.process.items() if doing == "stopping"]
    here = list(world.setting.models)
    choices = [
        ("arrive", EVER),
        ("arrive", here),
        ("arrive", here),
        ("leave", [*world.waiting, *world.serving, *world.lost]),
        ("leave", list(world.serving)),
        ("answer", sorted(world.checking)),
        ("answer", sorted(world.checking)),
        ("ready", loading),
        ("exit", stopping),
        ("exit", list(world.process) if dice.random() < 0.2 else []),
        ("unload", here if dice.random() < 0.2 else []),
        ("time", [0.5, 1.0, 2.0]),
        ("reload", [None] if dice.random() < 0.5 else []),
    ]
    what, whom = dice.choice([choice for choice in choices if choice[1]])
    chosen = dice.choice(list(whom))
    if what == "time":
        world.pass_time(chosen)
        if world.alarm is not None and world.alarm <= world.now:
            world.ring()
    elif what == "reload":
        restarted = {name for name in EVER if dice.random() < 0.3}
        world.reload(some_setting(dice), restarted)
    elif what == "arrive":
        world.arrive(chosen, dice.choice("xy"), explicit=dice.random() < 0.1)
    elif what == "answer":
        world.answer(chosen, fine=dice.random() < 0.9)
    else:
        getattr(world, what)(chosen)


@pytest.mark.parametrize("hundred", range(6))
def test_random_days_keep_every_law(hundred):
    reloads = 0
    for number in range(100 * hundred, 100 * hundred + 100):
        try:
            world = a_day(number)
        except AssertionError as error:
            error.add_note(f"day {number}")
            raise
        reloads += world.number
    assert reloads

"""What people are told who ask why."""

from __future__ import annotations

import pickle

import pytest

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.errors import LoadFailed, ModelNotFound, QueueFull, ShuttingDown
from corral.scheduler.events import Admit, Arrived, Check, Checked, Closing, Departed, Ready, Start
from corral.scheduler.explain import Obstacle, Outcome, Queue, Victim
from corral.scheduler.machine import Machine, ModelRules, QueueRules, State
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.policy import Option


def loads(model, request):
    return (
        (Arrived(request, model), [Check(model)]),
        (Checked(model), [Start(model)]),
        (Ready(model), [Admit(request)]),
    )


def test_a_ready_model_serves(stage):
    machine = stage.machine()
    now = stage.play(machine, *loads("a", 1))
    told = machine.explain("a", now)
    assert told.outcome is Outcome.SERVED
    assert (told.position, told.waits_for, told.expected_wait, told.victims) == (None, (), None, ())


def test_a_cold_model_waits_for_its_load(stage):
    machine = stage.machine()
    machine.learn("a", 12.0)
    told = machine.explain("a", 0.0)
    assert told.outcome is Outcome.WAIT
    assert told.reason == "a has to load, which usually takes 12 s"
    assert (told.position, told.expected_wait, told.waits_for[0].model) == (1, 12.0, "a")


def test_idle_models_would_be_swapped_out(stage):
    machine = stage.machine()
    now = stage.play(machine, *loads("a", 1), (Departed(1), []))
    told = machine.explain("b", now)
    assert told.outcome is Outcome.SWAP
    assert told.reason == "a would be stopped for it at once"
    assert told.rule == "the rule"
    assert told.victims == (Victim("a", State.READY, 0, None),)


def test_busy_models_are_waited_for(stage):
    machine = stage.machine()
    now = stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "a"), [Admit(2)]),
        (5.0, Arrived(3, "b", caller="x"), [Check("b")]),
        (6.0, Arrived(4, "b", caller="y"), []),
    )
    told = machine.explain("c", now)
    assert told.outcome is Outcome.WAIT
    assert told.waiting == (Queue("b", 2, 2, 5.0),)
    assert told.victims == (Victim("a", State.READY, 2, None),)
    assert told.waits_for == (
        Obstacle("a", "a has 2 in flight"),
        Obstacle("b", "b is wanted too, and has its turn before"),
    )
    assert told.position == 3


def test_the_place_in_line_is_the_callers(stage):
    machine = stage.machine(parallel=1)
    now = stage.play(
        machine,
        *loads("a", 1),
        *((Arrived(n, "a", caller="x"), []) for n in (2, 3, 4)),
    )
    assert machine.explain("a", now, "x").position == 4
    assert machine.explain("a", now, "y").position == 2
    assert machine.explain("a", now, "y").reason == (
        "1 are served at once (parallel), and 1 wait before it"
    )


def test_who_has_waited_too_long_is_named(stage):
    machine = stage.machine()
    stage.play(
        machine, *loads("a", 1), (5.0, Arrived(2, "b"), [Check("b")]), (6.0, Checked("b"), [])
    )
    told = machine.explain("a", 40.0)
    assert told.outcome is Outcome.WAIT
    assert told.reason == "a is draining and has to be gone first"


def test_a_fresh_model_is_said_to_be_fresh(stage):
    machine = stage.machine(queue=QueueRules(min_residency=10.0))
    stage.play(machine, *loads("a", 1), (Departed(1), []))
    told = machine.explain("b", 4.0)
    assert told.reason == "a is fresh, and stays for 8 s more (minResidency)"
    assert machine.explain("b", 13.0).outcome is Outcome.SWAP


def test_loading_and_leaving_models_are_waited_for(stage):
    machine = stage.machine()
    stage.play(machine, (Arrived(1, "a"), [Check("a")]), (Checked("a"), [Start("a")]))
    assert machine.explain("b", 2.0).reason == "a is loading for 1 who wait for it"
    stage.play(machine, (Departed(1), []), start=3.0)
    stage.play(
        machine,
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), [stage.halt("a")]),
        start=4.0,
    )
    assert machine.explain("b", 6.0).reason == "a is being stopped"
    assert machine.explain("a", 6.0).reason == "a is unloading and has to be gone first"


def test_a_model_that_is_kept_for_an_older_request_says_so(stage):
    """b's request has waited maxWait, but its check is not back: a is held, and does not drain yet."""
    machine = stage.machine()
    stage.play(machine, *loads("a", 1), (5.0, Arrived(2, "b"), [Check("b")]))
    told = machine.explain("a", 40.0)
    assert told.reason == "a takes no more, for an older request that has waited maxWait"


def test_what_makes_room_for_another_is_in_the_way_though_it_need_not_be(stage):
    """d may run beside c; but c is being stopped for a, whose turn is before, and with a there is no room for c."""
    families = ("abd", "cde")
    sets = Either(tuple(Every(tuple(map(One, names))) for names in families))
    policy = MatrixPolicy("abcde", Matrix((NamedSet("all", "", sets),)))
    machine = stage.machine("abcde", policy=policy)
    now = stage.play(
        machine,
        *loads("c", 1),
        (Departed(1), []),
        (Arrived(2, "a"), [Check("a")]),
        (Checked("a"), [stage.halt("c")]),
    )
    assert machine.explain("d", now).reason == "c is being stopped"


def test_many_obstacles_are_counted(stage):
    names = "abcdefgh"
    policy = stage.rule({"h": names})
    machine = stage.machine(names, policy=policy)
    for n, name in enumerate(names[:-1]):
        now = stage.play(machine, *loads(name, n), start=10.0 * n)
    told = machine.explain("h", now)
    assert told.reason.endswith("e has 1 in flight; and 2 more")
    assert len(told.waits_for) == 7


def test_a_refusal_tells_why(stage):
    machine = stage.machine(queue=QueueRules(max_queue=1))
    broken = LoadFailed("c: exit code 1", exit_code=1)
    now = stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "c"), [Check("c")]),
        (Checked("c", broken), [stage.refuse(2, LoadFailed)]),
        (4.0, Arrived(3, "b"), [Check("b")]),
    )
    for model, error in (("c", LoadFailed), ("d", QueueFull), ("z", ModelNotFound)):
        told = machine.explain(model, now)
        assert told.outcome is Outcome.REFUSED
        assert type(told.error) is error
        assert told.reason == told.error.message
    machine.handle(Closing(), now)
    assert type(machine.explain("a", now).error) is ShuttingDown


def matrix_machine():
    pair = Every((One("a"), One("b")))
    sets = (
        NamedSet("pair", "a & b", pair),
        NamedSet("other", "c & d", Every((One("c"), One("d")))),
        NamedSet("more", "c & a", Every((One("c"), One("a")))),
    )
    policy = MatrixPolicy("abcde", Matrix(sets, {"a": 5, "b": 3}))
    return Machine({name: ModelRules() for name in "abcde"}, policy)


def test_the_set_that_decided_and_the_runner_up_have_their_costs(stage):
    machine = matrix_machine()
    now = stage.play(machine, *loads("a", 1), *loads("b", 2), (Departed(1), []), (Departed(2), []))
    told = machine.explain("c", now)
    assert (told.outcome, told.rule, told.cost) == (Outcome.SWAP, "set more (c & a)", 3)
    assert told.victims == (Victim("b", State.READY, 0, 3),)
    assert told.runner_up == Option("set other (c & d)", ("a", "b"), 8)
    assert machine.explain("e", now).rule == "e is in no set and runs alone"
    assert machine.explain("a", now).runner_up is None


@pytest.mark.parametrize("model", [*"abcde", "z"])
def test_asking_changes_nothing(stage, model):
    machine = matrix_machine()
    stage.play(
        machine,
        *loads("a", 1),
        *loads("b", 2),
        (Departed(1), []),
        (10.0, Arrived(3, "c", caller="x"), [Check("c")]),
        (11.0, Arrived(4, "c", caller="y"), []),
        (12.0, Checked("c"), []),
    )
    times = (13.0, 50.0, 5000.0)  # also when the clock has something to say
    told = [
        machine.explain(model, now) for now in times
    ]  # the policy remembers answers, that is all
    before = pickle.dumps(vars(machine)), repr(machine)
    again = [machine.explain(model, now) for now in times]
    assert (pickle.dumps(vars(machine)), repr(machine)) == before
    assert [t.reason for t in again] == [t.reason for t in told]


def test_a_copy_goes_its_own_way(stage):
    machine = stage.machine()
    now = stage.play(machine, *loads("a", 1), (Arrived(2, "b"), [Check("b")]))
    other = machine.copy()
    stage.play(other, (Departed(2), []), (Departed(1), []), start=now + 1)
    assert (machine.in_flight("a"), machine.waiting("b")) == (1, 1)
    assert (other.in_flight("a"), other.waiting("b")) == (0, 0)
    stage.play(machine, (Checked("b"), []), (Departed(1), [stage.halt("a")]), start=now + 1)

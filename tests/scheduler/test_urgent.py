"""A request that is urgent (an explicit switch): those in its way drain at once, and nobody stops before all of them have."""

from __future__ import annotations

import pytest

from corral.scheduler.events import (
    Admit,
    Arrived,
    Check,
    Checked,
    Departed,
    Exited,
    Ready,
    Start,
    Ticked,
)
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import Machine, ModelRules, QueueRules, State


def switch(request, model):
    return Arrived(request, model, explicit=True, urgent=True)


def loads(model, request):
    return (
        (Arrived(request, model), [Check(model)]),
        (Checked(model), [Start(model)]),
        (Ready(model), [Admit(request)]),
    )


@pytest.mark.parametrize("use", ["fair", "fifo"])
def test_it_drains_at_once_and_newcomers_queue_behind(stage, use):
    machine = stage.machine(queue=QueueRules(use=use, max_wait=1000.0, min_residency=500.0))
    stage.play(
        machine,
        *loads("a", 1),
        (switch(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Arrived(3, "a"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b"), Check("a")]),
        (Ready("b"), [Admit(2)]),
    )


def test_newcomers_wait_while_it_is_checked_too(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (switch(2, "b"), [Check("b")]),
        (Arrived(3, "a"), []),
        (Departed(2), [Admit(3)]),
    )


def test_who_leaves_is_as_if_it_had_never_come(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (switch(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Arrived(3, "a"), []),
        (Departed(2), [Admit(3)]),
        (Arrived(4, "a"), [Admit(4)]),
    )
    assert machine.state("a") is State.READY


def test_nobody_stops_before_all_have_drained(stage):
    """c needs a and b gone; a is idle, b is not."""
    machine = stage.machine(policy=stage.rule({"c": "ab"}))
    stage.play(
        machine,
        *loads("a", 1),
        *loads("b", 2),
        (Departed(1), []),
        (switch(3, "c"), [Check("c")]),
        (Checked("c"), []),
        (Arrived(4, "a"), []),
        (Departed(2), [stage.halt("a"), stage.halt("b")]),
        (Exited("a"), [Check("a")]),
        (Exited("b"), [Start("c")]),
    )


def test_one_that_is_called_off_leaves_all_of_them(stage):
    machine = stage.machine(policy=stage.rule({"c": "ab"}))
    stage.play(
        machine,
        *loads("a", 1),
        *loads("b", 2),
        (Departed(1), []),
        (switch(3, "c"), [Check("c")]),
        (Checked("c"), []),
        (Departed(3), []),
        (Arrived(4, "a"), [Admit(4)]),
        (Arrived(5, "b"), [Admit(5)]),
    )


def test_it_makes_all_who_wait_for_the_model_urgent(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (switch(3, "b"), []),
        (Arrived(4, "a"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b"), Check("a")]),
        (Ready("b"), [Admit(2), Admit(3)]),
    )


def test_without_it_they_wait_as_before(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (switch(3, "b"), []),
        (Arrived(4, "a"), []),
        (Departed(3), [Admit(4)]),
    )


def test_those_who_waited_max_wait_go_before_it(stage):
    machine = stage.machine(queue=QueueRules(max_wait=10.0))
    stage.play(
        machine,
        *loads("a", 1),
        (3.0, Arrived(2, "b"), [Check("b")]),
        (4.0, Checked("b"), []),
        (13.0, Ticked(), []),
        (14.0, switch(3, "c"), [Check("c")]),
        (15.0, Checked("c"), []),
        (16.0, Departed(1), [stage.halt("a")]),
        (17.0, Exited("a"), [Start("b")]),
        (18.0, Ready("b"), [Admit(2)]),
        (19.0, Departed(2), [stage.halt("b")]),
        (20.0, Exited("b"), [Start("c")]),
    )


def test_those_who_have_not_go_behind_it(stage):
    machine = stage.machine(queue=QueueRules(priority={"b": 9}))
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (switch(3, "c"), [Check("c")]),
        (Checked("c"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("c")]),
    )
    assert [machine.position(request) for request in (2, 3)] == [2, 1]


def test_it_stays_urgent_when_an_older_request_for_its_model_has_waited_max_wait(stage):
    """That one alone would have let 4 go before, which came in time for it."""
    stage.play(
        stage.machine(queue=QueueRules(max_wait=30.0)),
        (0.0, Arrived(1, "b"), [Check("b")]),
        (1.0, Checked("b"), [Start("b")]),
        (2.0, Departed(1), []),
        (3.0, Arrived(2, "c"), [Check("c")]),
        (4.0, switch(3, "c"), []),
        (5.0, Arrived(4, "b"), []),
        (6.0, Ready("b"), []),
        (33.0, Ticked(), []),
        (34.0, Checked("c"), [stage.halt("b")]),
    )


def test_two_of_them_are_served_in_order(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (switch(2, "c"), [Check("c")]),
        (switch(3, "b"), [Check("b")]),
        (Checked("b"), []),
        (Checked("c"), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("c")]),
        (Ready("c"), [Admit(2)]),
        (Departed(2), [stage.halt("c")]),
        (Exited("c"), [Start("b")]),
    )


def test_the_second_of_two_is_urgent_still_when_the_first_has_left(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (switch(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (switch(3, "b"), []),
        (Departed(2), []),
        (Arrived(4, "a"), []),
        (Departed(3), [Admit(4)]),
    )


def test_who_was_held_for_it_has_its_turn_when_it_is_served_from_a_free_place(stage):
    """Found at random (schedule 338748): a's free place went to the switch, and c, for whom nobody had to leave any more, was not looked
    at before the next fact."""
    one_way = (GroupRules("proud", ("a",), persistent=True),)
    models = {"a": ModelRules(parallel=2), "c": ModelRules()}
    machine = Machine(models, Groups("ac", one_way), QueueRules(use="fifo"))
    stage.play(
        machine,
        (Arrived(1, "c"), [Check("c")]),
        (Arrived(2, "a", caller="x"), [Check("a")]),
        (Arrived(3, "a", caller="y"), []),
        (Arrived(4, "a", caller="x"), []),
        (switch(5, "a"), []),
        (Checked("a"), [Start("a")]),
        (Checked("c"), []),
        (Ready("a"), [Admit(2), Admit(3)]),
        (Departed(2), [Admit(5), Start("c")]),
    )


def test_who_would_have_to_leave_can_be_asked(stage):
    machine = stage.machine()
    stage.play(machine, *loads("a", 1))
    assert machine.victims("b") == ("a",)
    assert machine.victims("a") == ()

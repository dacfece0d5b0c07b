"""Plays: what happened, and what the machine said to do."""

from __future__ import annotations

import pytest

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.errors import (
    ConcurrencyLimit,
    LoadFailed,
    LoadTimeout,
    ModelNotFound,
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
    Closed,
    Closing,
    Departed,
    Exited,
    Ready,
    Start,
    Ticked,
    Wake,
)
from corral.scheduler.machine import Machine, ModelRules, QueueRules, State
from corral.scheduler.matrix import MatrixPolicy

FIFO = QueueRules(use="fifo")
BROKEN = LoadFailed("b: exit code 1", exit_code=1, log_tail=["out of memory"])


def loads(model, *requests):
    """A cold model's first request, up to its admission."""
    return (
        (Arrived(requests[0], model), [Check(model)]),
        (Checked(model), [Start(model)]),
        *((Arrived(other, model), []) for other in requests[1:]),
        (Ready(model), [Admit(request) for request in requests]),
    )


# --- loading and swapping ------------------------------------------------------------------------------------------


def test_a_cold_model_is_checked_started_and_used(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a"), Wake(30.0)]),
        (Checked("a"), [Start("a")]),
        (Arrived(2, "a"), []),
        (Ready("a"), [Admit(1), Admit(2)]),
        (Arrived(3, "a"), [Admit(3)]),
    )


def test_a_swap_waits_for_the_busy_model(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),  # a still serves 1
        (Arrived(3, "a"), [Admit(3)]),  # and 2 has not waited long: straight through
        (Departed(1), []),
        (Departed(3), [stage.halt("a", 10.0)]),
        (Exited("a"), [Start("b")]),
        (Ready("b"), [Admit(2)]),
    )
    assert machine.state("a") is State.UNLOADED


def test_nobody_is_stopped_for_a_model_that_cannot_start(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Departed(1), []),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "b"), []),
        (Checked("b", BROKEN), [stage.refuse(2, LoadFailed, 1), stage.refuse(3, LoadFailed, 1)]),
        (Arrived(4, "a"), [Admit(4)]),
    )
    assert machine.last_failure("b") is BROKEN
    assert machine.backoff_until("b") is None  # a second has passed


def test_independent_loads_run_side_by_side(stage):
    policy = stage.rule({"a": "c", "b": "d"})
    stage.play(
        stage.machine(policy=policy),
        *loads("c", 1),
        *loads("d", 2),
        (Departed(1), []),
        (Departed(2), []),
        (Arrived(3, "a"), [Check("a")]),
        (Arrived(4, "b"), [Check("b")]),
        (Checked("b"), [stage.halt("d")]),
        (Checked("a"), [stage.halt("c")]),
        (Exited("d"), [Start("b")]),  # c does not die: only a waits for it
        (Ready("b"), [Admit(4)]),
        (Exited("c"), [Start("a")]),
        (Ready("a"), [Admit(3)]),
    )


def test_victims_are_stopped_together_or_not_at_all(stage):
    policy = stage.rule({"c": "ab"})
    stage.play(
        stage.machine(policy=policy),
        *loads("a", 1),
        *loads("b", 2),
        (Departed(1), []),
        (Arrived(3, "c"), [Check("c")]),
        (Checked("c"), []),  # b is busy, so a may as well go on
        (Arrived(4, "a"), [Admit(4)]),
        (Departed(4), []),
        (Departed(2), [stage.halt("a"), stage.halt("b")]),
        (Exited("b"), []),
        (Exited("a"), [Start("c")]),
    )


def test_of_two_rivals_the_older_goes_first(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),  # the room is a's, though a is not checked yet
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1)]),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b")]),
    )


def test_two_that_wait_for_each_others_loading_model_take_turns(stage):
    policy = stage.rule({"c": "b", "d": "a"})
    stage.play(
        stage.machine(policy=policy),
        (Arrived(1, "a"), [Check("a")]),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("a"), [Start("a")]),
        (Checked("b"), [Start("b")]),
        (Arrived(3, "c"), [Check("c")]),
        (Arrived(4, "d"), [Check("d")]),
        (Checked("c"), []),
        (Checked("d"), []),
        (Ready("a"), [Admit(1)]),
        (Ready("b"), [Admit(2)]),
        (Departed(1), [stage.halt("a")]),
        (Departed(2), [stage.halt("b")]),
        (Exited("a"), [Start("d")]),
        (Exited("b"), [Start("c")]),
    )


def test_requests_for_one_model_are_served_together(stage):
    machine = stage.machine()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "a"), []),
        (Arrived(4, "c"), [Check("c")]),
        (Arrived(5, "b"), []),
        (Checked("c"), []),
        (Checked("b"), []),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1), Admit(3)]),
        (Departed(3), []),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("b")]),
        (Ready("b"), [Admit(2), Admit(5)]),
    )


def test_a_load_that_nobody_waits_for_goes_on(stage):
    machine = stage.machine(ttl=5)
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Departed(1), []),
        (10.0, Ready("a"), []),
        (12.0, Arrived(2, "a"), [Admit(2)]),
    )


def test_a_load_that_nobody_waits_for_makes_room(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Departed(1), []),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), [stage.halt("a")]),
        (Ready("a"), []),  # too late
        (Exited("a"), [Start("b")]),
    )


def test_a_waiter_that_left_starts_nothing(stage):
    machine = stage.machine()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Departed(1), []),
        (Checked("a"), []),
        (Arrived(2, "a"), [Check("a")]),  # what was found out then may be wrong now
        (Checked("a"), [Start("a")]),
    )


def test_a_check_is_not_kept_for_another_day(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Departed(2), []),
        (Arrived(3, "b"), [Check("b")]),
    )


def test_a_waiter_that_left_at_grant_time_is_not_admitted(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (Departed(1), [stage.halt("a")]),
        (Departed(2), []),
        (Exited("a"), []),  # b is not started for nobody
        (Departed(2), []),
    )


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_failed_load_is_everyones_answer_until_the_backoff_ends(stage):
    machine = stage.machine(backoff=(2.0, 5.0))
    stage.play(
        machine,
        (0.0, Arrived(1, "b"), [Check("b")]),
        (0.0, Checked("b"), [Start("b")]),
        (1.0, Arrived(2, "b"), []),
        (
            2.0,
            Exited("b", BROKEN),
            [stage.refuse(1, LoadFailed, 2), stage.refuse(2, LoadFailed, 2)],
        ),
        (3.0, Arrived(3, "b"), [stage.refuse(3, LoadFailed, 1.0)]),
        (4.0, Arrived(4, "b"), [Check("b")]),
        (4.0, Checked("b"), [Start("b")]),
        (5.0, Exited("b", BROKEN), [stage.refuse(4, LoadFailed, 5.0)]),
        (6.0, Arrived(5, "b", explicit=True), [Check("b")]),  # a person insists
        (6.0, Checked("b"), [Start("b")]),
        (7.0, Exited("b", BROKEN), [stage.refuse(5, LoadFailed, 5.0)]),  # the last repeats
    )
    assert machine.backoff_until("b") == 12.0


def test_the_reason_keeps_its_kind_and_its_log(stage):
    machine = stage.machine()
    stage.play(machine, (Arrived(1, "a"), [Check("a")]), (Checked("a"), [Start("a")]))
    slow = LoadTimeout("a: not ready in 2 s", log_tail=["loading ..."])
    [reject] = machine.handle(Exited("a", slow), 2.0)
    assert (type(reject.error), reject.error.log_tail) == (LoadTimeout, ("loading ...",))
    assert reject.error is not slow  # one object per request: tracebacks grow on raised ones


def test_a_load_that_ends_without_a_reason_is_given_one(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Exited("a"), [stage.refuse(1, LoadFailed)]),
    )


def test_a_crash_is_no_failed_load(stage):
    machine = stage.machine(parallel=1)
    crash = LoadFailed("a: killed", exit_code=-9)
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "a"), []),
        (Exited("a", crash), [Check("a")]),
        (Departed(1), []),  # already forgotten
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(2)]),
    )
    assert machine.in_flight("a") == 1


def test_a_success_ends_the_row_of_failures(stage):
    machine = stage.machine(backoff=(1.0, 50.0))
    stage.play(
        machine,
        (Arrived(1, "b"), [Check("b")]),
        (Checked("b", BROKEN), [stage.refuse(1, LoadFailed, 1.0)]),
        *loads("b", 2),
        (Exited("b"), []),
        (Arrived(3, "b"), [Check("b")]),
        (Checked("b", BROKEN), [stage.refuse(3, LoadFailed, 1.0)]),
    )


def test_no_backoff_when_there_is_none(stage):
    stage.play(
        stage.machine(backoff=()),
        (0.0, Arrived(1, "b"), [Check("b")]),
        (0.0, Checked("b", BROKEN), [stage.refuse(1, LoadFailed)]),
        (0.0, Arrived(2, "b"), [Check("b")]),
    )


# --- limits --------------------------------------------------------------------------------------------------------


def test_parallel_lets_the_rest_wait(stage):
    stage.play(
        stage.machine(parallel=2),
        *loads("a", 1, 2),
        (Arrived(3, "a"), []),
        (Arrived(4, "a"), []),
        (Departed(1), [Admit(3)]),
        (Departed(4), []),
        (Departed(3), []),
    )


def test_the_concurrency_limit_counts_waiting_and_served(stage):
    stage.play(
        stage.machine(parallel=1, concurrency_limit=2),
        *loads("a", 1),
        (Arrived(2, "a"), []),
        (Arrived(3, "a"), [stage.refuse(3, ConcurrencyLimit)]),
        (Departed(1), [Admit(2)]),
        (Arrived(4, "a"), []),
    )


def test_a_ready_model_at_its_limit_refuses_too(stage):
    stage.play(
        stage.machine(concurrency_limit=1),
        *loads("a", 1),
        (Arrived(2, "a"), [stage.refuse(2, ConcurrencyLimit)]),
    )


def test_a_full_queue_refuses_those_who_would_wait(stage):
    stage.play(
        stage.machine(queue=QueueRules(max_queue=1)),
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "c"), [stage.refuse(3, QueueFull)]),
        (Arrived(4, "a"), [Admit(4)]),
    )


def test_waiting_for_room_ends_and_says_when_to_come_back(stage):
    machine = stage.machine(queue=QueueRules(queue_timeout=10.0, max_wait=5.0))
    stage.play(
        machine,
        *loads("a", 1),
        (5.0, Ticked(), []),
        (5.0, Arrived(2, "b"), [Check("b"), Wake(10.0)]),
        (6.0, Checked("b"), []),
        (10.0, Ticked(), [Wake(15.0)]),
        (15.0, Ticked(), [stage.refuse(2, QueueTimeout, 1.0)]),
        (16.0, Arrived(3, "a"), [Admit(3)]),
    )


def test_a_load_does_not_count_as_waiting_for_room(stage):
    stage.play(
        stage.machine(queue=QueueRules(queue_timeout=10.0)),
        (0.0, Arrived(1, "a"), [Check("a")]),
        (4.0, Checked("a"), [Start("a")]),
        (10.0, Ticked(), []),
        (50.0, Exited("a", BROKEN), [stage.refuse(1, LoadFailed)]),
    )


def test_the_clock_of_the_queue_goes_on_after_the_load(stage):
    """1 waits 4 s for the check, 46 s for the load, then for b, whose turn it is to go: 6 s are left."""
    policy = stage.rule({"a": "b"})
    queue = QueueRules(queue_timeout=10.0, max_wait=1000.0)
    machine = stage.machine(policy=policy, queue=queue)
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (4.0, Checked("a"), [Start("a")]),
        (5.0, Departed(1), []),
        *((6.0, fact, orders) for fact, orders in loads("b", 2)),
        (20.0, Arrived(3, "a"), []),
        (50.0, Ready("a"), []),
        (59.0, Ticked(), []),
        (60.0, Ticked(), [stage.refuse(3, QueueTimeout)]),
    )


def test_an_unknown_model_is_refused(stage):
    stage.play(stage.machine(), (Arrived(1, "z"), [stage.refuse(1, ModelNotFound)]))


@pytest.mark.parametrize("fact", [Ready("z"), Exited("z"), Checked("z"), AskedUnload(("z",))])
def test_facts_about_unknown_models_are_ignored(stage, fact):
    stage.play(stage.machine(), (fact, []))


@pytest.mark.parametrize("fact", [Ready("a"), Exited("a"), Checked("a"), Departed(9), Ticked()])
def test_late_facts_are_ignored(stage, fact):
    machine = stage.machine()
    stage.play(machine, (fact, []))
    assert machine.state("a") is State.UNLOADED


# --- fairness ------------------------------------------------------------------------------------------------------


def test_newcomers_queue_behind_one_that_waited_too_long(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (39.0, Arrived(3, "a"), [Admit(3)]),
        (40.0, Ticked(), []),  # from now on a drains
        (41.0, Arrived(4, "a"), []),
        (42.0, Departed(1), []),
        (43.0, Departed(3), [stage.halt("a")]),
        (44.0, Exited("a"), [Start("b"), Check("a")]),
        (45.0, Ready("b"), [Admit(2)]),
        (46.0, Checked("a"), []),
        (47.0, Departed(2), [stage.halt("b")]),
        (48.0, Exited("b"), [Start("a")]),
        (49.0, Ready("a"), [Admit(4)]),
    )


def test_the_age_is_seen_without_a_tick(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Arrived(3, "a"), []),
    )
    assert machine.state("a") is State.DRAINING


def test_fifo_lets_them_through_for_ever(stage):
    stage.play(
        stage.machine(queue=FIFO),
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), []),
        (500.0, Arrived(3, "a"), [Admit(3)]),
    )


def test_a_drain_for_one_who_left_is_called_off(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Ticked(), []),
        (41.0, Arrived(3, "a"), []),
        (42.0, Departed(2), [Admit(3)]),
    )
    assert machine.state("a") is State.READY


def test_nobody_drains_before_the_check(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (45.0, Ticked(), []),
        (50.0, Arrived(3, "a"), []),  # held, but a does not drain
        (50.0, Departed(1), []),
    )
    assert machine.state("a") is State.READY
    stage.play(machine, (Checked("b", BROKEN), [stage.refuse(2, LoadFailed), Admit(3)]), start=51.0)


def test_those_who_waited_for_the_load_are_served_by_it(stage):
    """A load longer than `maxWait` would otherwise serve one request, and the next load another one."""
    stage.play(
        stage.machine(parallel=1),
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (1.0, Arrived(2, "b"), [Check("b")]),
        (1.0, Checked("b"), []),
        (2.0, Arrived(3, "a"), []),
        (35.0, Arrived(4, "a"), []),
        (60.0, Ready("a"), [Admit(1)]),  # 1 is older than 2, so this is a's turn
        (61.0, Arrived(5, "a"), []),  # too late for it
        (62.0, Departed(1), [Admit(3)]),
        (63.0, Departed(3), [Admit(4)]),
        (64.0, Departed(4), [stage.halt("a")]),
    )


def test_an_older_line_goes_first(stage):
    stage.play(
        stage.machine(parallel=1),
        *loads("a", 1),
        (10.0, Arrived(2, "a"), []),
        (11.0, Arrived(3, "b"), [Check("b")]),
        (12.0, Checked("b"), []),
        (13.0, Arrived(4, "a"), []),
        (50.0, Ticked(), []),
        (51.0, Departed(1), [Admit(2)]),
        (52.0, Departed(2), [stage.halt("a")]),
    )


def test_priority_orders_those_who_have_not_waited_long(stage):
    queue = QueueRules(priority={"c": 5})
    stage.play(
        stage.machine(queue=queue),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Arrived(3, "c"), [Check("c")]),
        (12.0, Checked("b"), []),
        (12.0, Checked("c"), []),
        (13.0, Departed(1), [stage.halt("a")]),
        (14.0, Exited("a"), [Start("c")]),
        (15.0, Ready("c"), [Admit(3)]),
        (39.0, Arrived(4, "c"), [Admit(4)]),
        (40.0, Arrived(5, "c"), []),  # but now 2 has
        (41.0, Departed(3), []),
        (42.0, Departed(4), [stage.halt("c")]),
    )


def test_a_load_with_waiters_is_not_thrown_away(stage):
    queue = QueueRules(priority={"c": 5})
    stage.play(
        stage.machine(queue=queue),
        (0.0, Arrived(2, "b"), [Check("b")]),
        (1.0, Arrived(3, "c"), [Check("c")]),
        (2.0, Checked("c"), [Start("c")]),
        (2.0, Checked("b"), []),
        (31.0, Ticked(), []),
        (32.0, Arrived(4, "c"), []),
        (33.0, Ready("c"), [Admit(3)]),  # 4 came too late
        (34.0, Departed(3), [stage.halt("c")]),
    )


def test_a_load_only_for_latecomers_is_stopped(stage):
    queue = QueueRules(priority={"c": 5})
    stage.play(
        stage.machine(queue=queue),
        (0.0, Arrived(2, "b"), [Check("b")]),
        (1.0, Arrived(3, "c"), [Check("c")]),
        (2.0, Checked("c"), [Start("c")]),
        (32.0, Arrived(4, "c"), []),
        (33.0, Departed(3), []),
        (34.0, Checked("b"), [stage.halt("c")]),
        (35.0, Exited("c"), [Start("b"), Check("c")]),
    )


def test_who_waited_too_long_keeps_its_room_from_the_young(stage):
    """b waits for the busy a; c, which could run beside a, would only get in b's way."""
    policy = stage.rule({"b": "ac", "c": "b"})
    stage.play(
        stage.machine(policy=policy),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Arrived(3, "c"), [Check("c")]),
        (41.0, Checked("c"), []),
        (42.0, Departed(1), [stage.halt("a")]),
        (43.0, Exited("a"), [Start("b")]),
    )


def test_nor_do_the_young_start_what_would_have_to_leave_again(stage):
    """Only b minds c, not the other way round."""
    stage.play(
        stage.machine(policy=stage.rule({"b": "ac"})),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Arrived(3, "c"), [Check("c")]),
        (41.0, Checked("c"), []),
    )


def test_two_that_are_coming_leave_no_room_for_a_third(stage):
    """Any two of the three may run together."""
    pairs = [Every((One(x), One(y))) for x, y in ("ab", "ac", "bc")]
    policy = MatrixPolicy("abc", Matrix((NamedSet("pairs", "", Either(tuple(pairs))),)))
    stage.play(
        stage.machine("abc", policy=policy),
        (Arrived(1, "a"), [Check("a")]),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "c"), [Check("c")]),
        (Checked("c"), []),
        (Checked("a"), [Start("a")]),
        (Checked("b"), [Start("b")]),
        (Ready("b"), [Admit(2)]),
        (Departed(2), [stage.halt("b")]),
        (Exited("b"), [Start("c")]),
    )


def test_a_line_that_waits_for_room_itself_does_not_hold_up_an_older_one(stage):
    """a's line came with its load, but waits for c, which only a minds; b's request is older and needs a gone."""
    stage.play(
        stage.machine(policy=stage.rule({"a": "c", "b": "a"})),
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (0.0, Departed(1), []),
        (1.0, Arrived(2, "c"), [Check("c")]),
        (1.0, Checked("c"), [Start("c")]),
        (2.0, Ready("c"), [Admit(2)]),
        (3.0, Arrived(3, "b"), [Check("b")]),
        (4.0, Arrived(4, "a"), []),
        (5.0, Ready("a"), []),
        (40.0, Ticked(), []),
        (41.0, Checked("b"), [stage.halt("a")]),
        (42.0, Exited("a"), [Start("b"), Check("a")]),
    )


def test_until_then_the_young_may_use_the_room(stage):
    policy = stage.rule({"b": "ac", "c": "b"})
    stage.play(
        stage.machine(policy=policy),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (12.0, Arrived(3, "c"), [Check("c")]),
        (13.0, Checked("c"), [Start("c")]),
    )


def test_a_resident_model_waits_for_those_in_its_way(stage):
    """Groups are one-way: c was loaded beside a, and leaves when a is asked for again."""
    policy = stage.rule({"a": "c"})
    stage.play(
        stage.machine(policy=policy),
        *loads("a", 1),
        *loads("c", 2),
        (10.0, Arrived(3, "a"), []),
        (11.0, Arrived(4, "c"), [Admit(4)]),
        (40.0, Arrived(5, "c"), []),  # a's request has waited maxWait
        (41.0, Departed(2), []),
        (42.0, Departed(4), [stage.halt("c")]),
        (43.0, Arrived(6, "a"), []),
        (44.0, Exited("c"), [Admit(3), Admit(6), Check("c")]),
        (45.0, Checked("c"), [Start("c")]),
    )


def test_the_place_in_the_queue(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Arrived(3, "c"), [Check("c")]),
        (Arrived(4, "b"), []),
    )
    assert [machine.position(n) for n in (1, 2, 3, 4, 9)] == [None, 1, 3, 2, None]


def test_one_that_stood_behind_a_line_is_looked_at_when_it_stands_behind_nobody(stage):
    """b may run beside a, which would make it leave again. So it lets a's older requests go first, but not a's younger ones."""
    stage.play(
        stage.machine("ab", policy=stage.rule({"a": "b"}), parallel=1),
        *loads("a", 1),
        (10.0, Arrived(2, "a"), []),
        (11.0, Arrived(3, "b"), [Check("b")]),
        (12.0, Checked("b"), []),
        (13.0, Arrived(4, "a"), []),
        (14.0, Departed(1), [Admit(2), Start("b")]),
    )


# --- callers -------------------------------------------------------------------------------------------------------


def test_callers_take_turns_at_a_model_that_is_full(stage):
    stage.play(
        stage.machine(parallel=1),
        *loads("a", 1),
        *((Arrived(n, "a", caller="batch"), []) for n in (2, 3, 4)),
        (Arrived(5, "a", caller="chat"), []),
        (Departed(1), [Admit(2)]),
        (Departed(2), [Admit(5)]),
        (Departed(5), [Admit(3)]),
        (Departed(3), [Admit(4)]),
    )


def test_without_a_limit_there_is_nothing_to_take_turns_for(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a", caller="x"), [Check("a")]),
        (Arrived(2, "a", caller="x"), []),
        (Arrived(3, "a", caller="y"), []),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1), Admit(3), Admit(2)]),
    )


def test_when_somebody_has_waited_too_long_for_the_room_the_oldest_goes_before_the_callers_turn(
    stage,
):
    """3 is older than b's request and 4 is not: it may not go, though it is its caller's turn."""
    stage.play(
        stage.machine(parallel=1),
        *loads("a", 1),
        (10.0, Arrived(2, "a", caller="x"), []),
        (11.0, Arrived(3, "a", caller="x"), []),
        (12.0, Arrived(9, "b"), [Check("b")]),
        (13.0, Checked("b"), []),
        (14.0, Arrived(4, "a", caller="y"), []),
        (50.0, Departed(1), [Admit(2)]),
        (51.0, Departed(2), [Admit(3)]),
        (52.0, Departed(3), [stage.halt("a")]),
    )


# --- minResidency --------------------------------------------------------------------------------------------------


def test_a_fresh_model_stays_until_it_has_been_useful(stage):
    machine = stage.machine(queue=QueueRules(min_residency=10.0))
    stage.play(
        machine,
        *loads("a", 1),  # ready at 2
        (3.0, Departed(1), []),
        (4.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Checked("b"), []),
        (6.0, Arrived(3, "a"), [Admit(3)]),
        (7.0, Departed(3), []),
        (12.0, Ticked(), [stage.halt("a")]),
    )


def test_nobody_waits_longer_than_max_wait_for_that(stage):
    stage.play(
        stage.machine(queue=QueueRules(max_wait=5.0, min_residency=100.0)),
        *loads("a", 1),
        (3.0, Departed(1), []),
        (4.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Checked("b"), []),
        (9.0, Ticked(), [stage.halt("a")]),
    )


def test_fifo_knows_no_residency(stage):
    stage.play(
        stage.machine(queue=QueueRules(use="fifo", min_residency=100.0)),
        *loads("a", 1),
        (3.0, Departed(1), []),
        (4.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Checked("b"), [stage.halt("a")]),
    )


def test_a_crash_or_a_ttl_is_no_eviction(stage):
    stage.play(
        stage.machine(queue=QueueRules(min_residency=100.0), ttl=5),
        *loads("a", 1),
        (3.0, Departed(1), []),
        (8.0, Ticked(), [stage.halt("a")]),
    )


# --- what loads and requests take ----------------------------------------------------------------------------------


def test_load_times_are_learned(stage):
    machine = stage.machine()
    assert machine.load_costs() == {}
    stage.play(machine, *loads("a", 1), (Exited("a"), []))
    assert machine.load_costs() == {"a": 1.0}
    machine.learn("a", 11.0)
    machine.learn("b", 5.0)
    machine.learn("gone", 5.0)  # of a configuration that was
    assert machine.load_costs() == {"a": 4.0, "b": 5.0}
    assert machine.load_seconds("a") == 1.0


def learning(learns=True):
    sets = (NamedSet("s", "", Either((Every((One("t"), One("a"))), Every((One("t"), One("b")))))),)
    policy = MatrixPolicy(
        "tab", Matrix((*sets, NamedSet("ab", "", Every((One("a"), One("b"))))), {"b": 4})
    )
    rules = {"t": ModelRules(), "a": ModelRules(learns=learns), "b": ModelRules()}
    return Machine(rules, policy)


@pytest.mark.parametrize(("seconds", "victim"), [(3.4, "a"), (4.6, "b")])
def test_a_learned_cost_is_worth_as_much_as_a_number(stage, seconds, victim):
    machine = learning()
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (0.0, Arrived(2, "b"), [Check("b")]),
        (0.0, Checked("b"), [Start("b")]),
        (0.0, Ready("b"), [Admit(2)]),
        (0.0, Departed(2), []),
        (seconds, Ready("a"), [Admit(1)]),
        (6.0, Departed(1), []),
        (7.0, Arrived(3, "t"), [Check("t")]),
        (8.0, Checked("t"), [stage.halt(victim)]),
    )


def test_numbers_win_over_what_is_learned(stage):
    machine = learning(learns=False)
    machine.learn("a", 50.0)
    machine.learn("b", 50.0)
    stage.play(machine, *loads("a", 1), *loads("b", 2), (Departed(1), []), (Departed(2), []))
    assert [v.cost for v in machine.explain("t", 9.0).victims] == [1]


def test_retry_after_goes_by_what_loads_and_requests_have_taken(stage):
    machine = stage.machine(queue=QueueRules(max_queue=1))
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (20.0, Ready("a"), [Admit(1)]),
        (24.0, Departed(1), []),
        (25.0, Arrived(2, "a", explicit=True), [Admit(2)]),
        (25.0, Departed(2), []),  # a load call says nothing of how long requests take
        (26.0, Arrived(3, "a"), [Admit(3)]),
        (27.0, Arrived(4, "b"), [Check("b")]),
        (28.0, Arrived(5, "a"), [Admit(5)]),
        (29.0, Arrived(6, "c"), [stage.refuse(6, QueueFull, 4.0)]),
    )
    machine.learn("c", 30.0)
    [order] = machine.handle(Arrived(7, "c"), 29.0)
    assert order.error.retry_after == 34.0


def test_a_long_line_is_a_long_wait(stage):
    machine = stage.machine(parallel=2, concurrency_limit=6)
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Departed(1), []),
        *((20.0, Arrived(n, "a"), [Admit(n)]) for n in (2, 3)),
        *((20.0, Arrived(n, "a"), []) for n in (4, 5, 6, 7)),
        (20.0, Arrived(8, "a"), [stage.refuse(8, ConcurrencyLimit, 24.0)]),  # three rounds of 8 s
    )


@pytest.mark.parametrize("rule", ["parallel", "concurrency_limit", "ttl", "unload_timeout"])
def test_rules_that_would_let_nobody_in_are_no_rules(rule):
    with pytest.raises(ValueError, match="negative"):
        ModelRules(**{rule: -1})


def test_a_model_that_is_spared_makes_room_for_its_own_line(stage):
    """a was to leave for b; when b's request is gone, a's own needs c gone, which is idle."""
    stage.play(
        stage.machine(policy=stage.rule({"a": "c", "b": "a"})),
        *loads("a", 1),
        *loads("c", 2),
        (10.0, Arrived(3, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (41.0, Arrived(4, "a"), []),
        (42.0, Departed(2), []),
        (43.0, Departed(3), [stage.halt("c")]),
        (44.0, Exited("c"), [Admit(4)]),
    )


# --- leaving -------------------------------------------------------------------------------------------------------


def test_ttl_runs_from_ready_and_from_the_last_departure(stage):
    machine = stage.machine(ttl=5, unload_timeout=7)
    stage.play(
        machine,
        *loads("a", 1),
        (3.0, Departed(1), [Wake(8.0)]),
        (4.0, Arrived(2, "a"), [Admit(2)]),
        (8.0, Ticked(), []),
        (9.0, Departed(2), [Wake(14.0)]),
        (14.0, Ticked(), [stage.halt("a", 7)]),
        (14.5, Arrived(3, "a"), []),  # meets the unload: waits, and is served by the next load
        (15.0, Exited("a"), [Check("a")]),
        (16.0, Checked("a"), [Start("a")]),
        (17.0, Ready("a"), [Admit(3)]),
    )


def test_ttl_runs_though_nobody_ever_used_it(stage):
    machine = stage.machine(ttl=5)
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (1.0, Departed(1), []),
        (20.0, Ready("a"), [Wake(25.0)]),
    )
    assert machine.ttl_deadline("a") == 25.0
    stage.play(machine, (25.0, Ticked(), [stage.halt("a")]))


def test_a_persistent_model_is_not_idle_ever(stage):
    machine = stage.machine(ttl=5, persist=True)
    stage.play(machine, *loads("a", 1), (Departed(1), []), (99.0, Ticked(), []))
    assert machine.ttl_deadline("a") is None


def test_a_model_with_a_line_is_not_idle(stage):
    """a is ready and serves nobody, but 3 waits for c to leave."""
    stage.play(
        stage.machine("ac", policy=stage.rule({"a": "c"}), ttl=5),
        *loads("a", 1),
        *loads("c", 2),
        (6.0, Departed(1), []),
        (7.0, Arrived(3, "a"), []),
        (20.0, Ticked(), []),
        (21.0, Departed(2), [stage.halt("c")]),
        (22.0, Exited("c"), [Admit(3)]),
    )


def test_a_tick_that_comes_early_is_answered_with_the_time_again(stage):
    machine = stage.machine(ttl=5)
    stage.play(
        machine, *loads("a", 1), (3.0, Departed(1), [Wake(8.0)]), (7.9, Ticked(), [Wake(8.0)])
    )


def test_unload_drains_first_and_refuses_who_waits(stage):
    machine = stage.machine(parallel=1)
    stage.play(
        machine,
        *loads("a", 1),
        (3.0, Arrived(2, "a"), []),
        (4.0, AskedUnload(("a",)), [stage.refuse(2, ModelUnloaded), Wake(14.0)]),
        (5.0, Arrived(3, "a"), []),
        (8.0, Departed(1), [stage.halt("a", 6.0)]),  # what is left of the ten seconds
        (9.0, Exited("a"), [Check("a")]),
        (9.0, Checked("a"), [Start("a")]),
    )


def test_unload_does_not_wait_for_ever(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (4.0, AskedUnload(("a",)), []),
        (9.0, AskedUnload(("a",)), []),  # asking again does not add time
        (14.0, Ticked(), [stage.halt("a", 1.0)]),
        (15.0, Exited("a"), []),
        (15.0, Departed(1), []),
    )
    assert machine.in_flight("a") == 0


def test_unload_of_an_idle_model_is_a_stop(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (Departed(1), []),
        (AskedUnload(("a",)), [stage.halt("a", 10)]),
    )


def test_a_forced_unload_does_not_drain(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (AskedUnload(("a",)), []),
        (AskedUnload(("a",), force=True), [stage.halt("a", 10)]),
        (AskedUnload(("a",), force=True), []),
    )


def test_unload_of_a_loading_model_stops_it(stage):
    stage.play(
        stage.machine(),
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (AskedUnload(("a",)), [stage.refuse(1, ModelUnloaded), stage.halt("a", 10)]),
        (Arrived(2, "a"), []),
        (Ready("a"), []),
        (Exited("a", BROKEN), [Check("a")]),  # a finished stop, whatever it says
    )


def test_unload_during_anothers_eviction_ends_the_swap(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (Departed(1), []),
        (Arrived(2, "b"), [Check("b")]),
        (Checked("b"), [stage.halt("a")]),
        (AskedUnload(("b",)), [stage.refuse(2, ModelUnloaded)]),
        (Exited("a"), []),  # b is not started after all
    )


def test_unload_of_the_victim_does_not_confuse_the_swap(stage):
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (41.0, Ticked(), []),
        (42.0, AskedUnload(("a",)), []),
        (43.0, Departed(2), []),
        (44.0, Departed(1), [stage.halt("a", 8.0)]),  # asked to go: not spared
    )


def test_closing_lets_those_in_flight_finish(stage):
    machine = stage.machine(policy=stage.together())
    stage.play(
        machine,
        *loads("a", 1),
        *loads("b", 2),
        (Departed(2), []),
        (Arrived(3, "c"), [Check("c")]),
        (Checked("c"), [Start("c")]),
        (Closing(), [stage.refuse(3, ShuttingDown), stage.halt("b"), stage.halt("c")]),
        (Arrived(4, "a"), [stage.refuse(4, ShuttingDown)]),
        (Departed(1), [stage.halt("a")]),
        (Closed(), [stage.halt("a", 1.0), stage.halt("b", 1.0), stage.halt("c", 1.0)]),
        *((Exited(name), []) for name in "abc"),
    )


def test_closed_does_not_wait(stage):
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (Arrived(2, "b"), [Check("b")]),
        (Closed(), [stage.refuse(2, ShuttingDown), stage.halt("a", 1.0)]),
        (Checked("b"), []),
        (Exited("a"), []),
    )


# --- loading together ----------------------------------------------------------------------------------------------


def pipeline(stage, **rules):
    models = {
        "a": ModelRules(together=("b",), **rules),
        "b": ModelRules(together=("a",), **rules),
        "c": ModelRules(),
    }
    return Machine(models, stage.rule({"a": "c", "b": "c", "c": "ab"}))


def test_a_request_for_one_member_starts_them_all(stage):
    stage.play(
        pipeline(stage),
        *loads("c", 1),
        (Departed(1), []),
        (Arrived(2, "a"), [Check("a"), Check("b")]),
        (Checked("b"), []),
        (Checked("a"), [stage.halt("c")]),
        (Exited("c"), [Start("a"), Start("b")]),
        (Ready("a"), [Admit(2)]),  # b is still loading
        (Ready("b"), []),
    )


def test_a_member_that_left_is_started_by_the_next_request(stage):
    stage.play(
        pipeline(stage),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Checked("a"), [Start("a")]),
        (Checked("b"), [Start("b")]),
        (Ready("a"), [Admit(1)]),
        (4.0, Exited("b", BROKEN), []),
        (4.5, Arrived(2, "a"), [Admit(2)]),  # b is in back-off: a second has to pass
        (5.0, Arrived(3, "a"), [Admit(3), Check("b")]),
        (5.5, Departed(3), []),
        (6.0, Checked("b"), [Start("b")]),
    )


def test_a_member_is_not_started_for_one_that_left(stage):
    stage.play(
        pipeline(stage),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Arrived(2, "a"), []),
        (Departed(1), []),  # b is now to start for 2
        (Checked("b"), [Start("b")]),
        (AskedUnload(("b",)), [stage.halt("b")]),
        (Arrived(3, "a"), []),
        (Departed(2), []),
        (Departed(3), []),
        (Exited("b"), []),
        (Checked("a"), []),
    )


def test_an_afterthought_gives_way(stage):
    """b was to come for 1, which is over; when c is asked for, nobody wants b any more, now or later."""
    stage.play(
        pipeline(stage),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1)]),
        (Departed(1), []),
        (Arrived(2, "c"), [Check("c")]),
        (Checked("b"), []),
        (Checked("c"), [stage.halt("a")]),
        (Exited("a"), [Start("c")]),
        (Ready("c"), [Admit(2)]),
        (Departed(2), []),
        (Exited("c"), []),
    )


def test_a_companion_comes_though_the_request_crashed_with_its_model(stage):
    stage.play(
        pipeline(stage),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1)]),
        (Exited("a"), []),
        (Checked("b"), [Start("b")]),
    )


# --- what people may ask -------------------------------------------------------------------------------------------


def test_the_views_tell_what_is(stage):
    machine = stage.machine(ttl=60)
    stage.play(machine, *loads("a", 1), (5.0, Arrived(2, "b"), [Check("b")]))
    assert machine.models == ("a", "b", "c", "d")
    assert (machine.state("a"), machine.state_since("a"), machine.ready_since("a")) == (
        "ready",
        2,
        2,
    )
    assert (machine.in_flight("a"), machine.waiting("b"), machine.waiting_since("b")) == (1, 1, 5.0)
    assert (machine.load_seconds("a"), machine.load_seconds("b")) == (1.0, None)
    assert (machine.ttl_deadline("a"), machine.waiting_since("a")) == (None, None)
    assert repr(machine) == "<Machine: 1 waiting; <a ready, 1 in flight, 0 waiting>>"
    assert repr(stage.machine()) == "<Machine: 0 waiting; nothing loaded>"

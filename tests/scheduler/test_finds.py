"""Bugs of our own that the walks and the random schedules have found, each as short as it could be made. Its docstring says which law was
broken and what the scheduler did then.
"""

from __future__ import annotations

from corral.scheduler.events import (
    Admit,
    Arrived,
    AskedUnload,
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

from .test_replays import loads

BESIDE = GroupRules("rag", ("a", "b"), swap=False, exclusive=False)
"""c makes a and b leave; they make nobody leave."""
ONE_WAY = (GroupRules("side", ("b",), swap=False, exclusive=False),)
"""a and c make b leave; b makes nobody leave and may run beside either."""


RAG = GroupRules("rag", ("a", "b"), swap=False, together=True)


def rag_and_c(queue=None):
    """a and b are loaded together; c makes both leave, and they make c leave."""
    together = {"a": ("b",), "b": ("a",), "c": ()}
    models = {name: ModelRules(together=others) for name, others in together.items()}
    return Machine(models, Groups("abc", (RAG,)), queue)


def test_one_that_may_run_beside_a_long_load_is_started_when_that_load_is_done(stage):
    """Laws 5 and 8, found at random and by walking every schedule: b's request waited behind a's older one. When a took longer to load
    than `maxWait`, b's claim was looked at before a's line was served and not again after; and as long as the stream for a did not
    stop, no fact made the machine look: b waited for ever, though nobody was in its way."""
    machine = stage.machine("ab", policy=Groups("ab", ONE_WAY))
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (1.0, Arrived(2, "b"), [Check("b")]),
        (1.0, Checked("b"), []),
        (31.0, Ticked(), []),
    )
    orders = machine.handle(Ready("a"), 60.0)
    for n in range(100):
        orders += machine.handle(Arrived(10 + n, "a"), 61.0 + n)
        orders += machine.handle(Departed(9 + n if n else 1), 61.5 + n)
    assert Start("b") in orders


def test_a_drain_that_is_called_off_does_not_let_the_young_in(stage):
    """Law 5, found at random: a drains for c, and a's own next request (3) has waited long. When c's request left, a was ready again;
    but in the same moment b was started for the younger 4, got in the way of 3, and was stopped again at the next opportunity."""
    machine = stage.machine("abc", policy=Groups("abc", ONE_WAY), parallel=1)
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "c"), [Check("c")]),
        (10.0, Checked("c"), []),
        (11.0, Arrived(3, "a"), []),
        (12.0, Arrived(4, "b"), [Check("b")]),
        (12.0, Checked("b"), []),
        (40.0, Ticked(), []),  # a drains for 2
        (45.0, Departed(2), []),
    )
    assert machine.state("a") is State.READY
    assert machine.handle(Departed(1), 46.0)[0] == Admit(3)


def test_no_companion_is_loaded_for_a_request_that_is_cut_off(stage):
    """No idle hands, found by walking every schedule with people in it: a was unloaded by force while it served 1, for which its
    companion b was still to be loaded. b was started all the same, and stopped again for c at the next opportunity."""
    stage.play(
        rag_and_c(),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Arrived(2, "c"), [Check("c")]),
        (Checked("a"), [Start("a")]),
        (Checked("c"), []),
        (Ready("a"), [Admit(1)]),
        (AskedUnload(("a",), force=True), [stage.halt("a")]),
        (Checked("b"), []),
        (Exited("a"), [Start("c")]),
    )


def test_no_companion_goes_before_somebody_who_waits(stage):
    """No idle hands, found at random: b, a companion of a, has a higher priority than c, but nobody waits for b. It was started in the
    room that c's request was about to have, and stopped for it at the next opportunity."""
    stage.play(
        rag_and_c(QueueRules(priority={"b": 1})),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Checked("a"), [Start("a")]),
        (Ready("a"), [Admit(1)]),
        (Arrived(2, "c"), [Check("c")]),
        (Checked("c"), []),
        (Departed(1), [stage.halt("a")]),
        (Arrived(3, "a"), []),  # b's check for 1 is still to be answered
        (Checked("b"), []),
        (Exited("a"), [Start("c"), Check("a")]),
    )


def test_a_load_for_nobody_becomes_one_for_somebody(stage):
    """No idle hands, found by walking every schedule: b loads for 1, whose client has left, so that c (2) has its room as soon as its
    check is answered, and a (3) stands behind it. When 4 waits for b, c has to wait for it, and nothing speaks against a any more."""
    machine = rag_and_c()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Arrived(2, "c"), [Check("c")]),
        (Arrived(3, "a"), []),
        (Checked("b"), [Start("b")]),
        (Departed(1), []),
        (Checked("a"), []),
        (Arrived(4, "b"), [Start("a")]),
    )


def test_an_idle_model_that_is_used_again_lets_others_past_who_wait_for_its_room(stage):
    """The same, found at random: a is idle, so that c (2) has its room as soon as its check is answered, and b (3) stands behind it."""
    stage.play(
        stage.machine("abc", policy=Groups("abc", ONE_WAY)),
        *loads("a", 1),
        (Arrived(2, "c"), [Check("c")]),
        (Departed(1), []),
        (Arrived(3, "b"), [Check("b")]),
        (Checked("b"), []),
        (Arrived(4, "a"), [Admit(4), Start("b")]),
    )


def test_a_start_that_is_in_the_way_of_a_model_in_use_lets_others_past_who_stood_behind_that(stage):
    """The same, found at random: c has older waiters (3) than a (5) and no room to seek, until b is started for 2, which c would have
    to stop first. Then c waits for b's end, and a, which runs beside b, need not wait for c."""
    stage.play(
        Machine(dict.fromkeys("abc", ModelRules(parallel=1)), Groups("abc", (BESIDE,))),
        (0.0, Arrived(1, "c"), [Check("c")]),
        (0.0, Checked("c"), [Start("c")]),
        (1.0, Ready("c"), [Admit(1)]),
        (2.0, Arrived(2, "b"), [Check("b")]),
        (2.0, Arrived(3, "c"), []),
        (2.0, Arrived(4, "c"), []),
        (2.0, Arrived(5, "a"), [Check("a")]),
        (2.0, Checked("a"), []),
        (2.0, Checked("b"), [Start("b"), Start("a")]),
    )


def test_nobody_young_is_started_in_the_way_of_a_turn(stage):
    """Law 5, found at random, with one who stops all others: c was loaded for 1, and b was started for 2 while 3 and 4, for whom c was
    loaded too, still waited. So c's turn took b's load, service and stop as well, and whoever waited for its end waited for both."""
    stage.play(
        Machine(dict.fromkeys("abc", ModelRules(parallel=1)), Groups("abc", (BESIDE,))),
        (0.0, Arrived(1, "c"), [Check("c")]),
        (0.0, Arrived(2, "b"), [Check("b")]),
        (0.0, Checked("c"), [Start("c")]),
        (0.0, Arrived(3, "c"), []),
        (0.0, Arrived(4, "c"), []),
        (0.0, Checked("b"), []),
        (1.0, Ready("c"), [Admit(1)]),
        (2.0, Departed(1), [Admit(3)]),
        (3.0, Departed(3), [Admit(4), Start("b")]),
    )


def test_a_turn_is_not_cut_short_by_one_that_may_run_beside_it(stage):
    """Law 5, found at random: c was loaded for 2, and serves one at a time. b, which may run beside c but not the other way round, was
    started for 3 before c's next request (5) was served, and so was in c's way. Then 4 was the oldest, c was stopped for it, and had to
    be loaded again for 5: 6 saw c go before it twice."""
    # a makes all others leave, and leaves for none
    proud = GroupRules("proud", ("a",), persistent=True)
    machine = stage.machine("abc", policy=Groups("abc", (proud, *ONE_WAY)), parallel=1)
    stage.play(
        machine,
        *loads("a", 1),
        (3.0, Departed(1), []),
        (10.0, Arrived(2, "c"), [Check("c")]),
        (10.0, Checked("c"), [Start("c")]),
        (11.0, Arrived(3, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (12.0, Arrived(4, "a"), []),
        (13.0, Arrived(5, "c"), []),
        (14.0, Arrived(6, "a"), []),
        (60.0, Ready("c"), [Admit(2)]),  # and not Start("b")
        (61.0, Departed(2), [Admit(5), Start("b")]),
        (62.0, Ready("b"), [Admit(3)]),
        (63.0, Departed(5), [stage.halt("c")]),
        (64.0, Departed(3), [stage.halt("b")]),
        (65.0, Exited("b"), []),
        (66.0, Exited("c"), [Admit(4)]),
        (67.0, Departed(4), [Admit(6)]),
    )


def test_a_companion_whose_request_is_over_holds_up_nobody(stage):
    """Law 8, found by walking every schedule: b was to be loaded together with a, for request 1, which is over before b is checked. c's
    request, for which both could leave at once, had to wait for the end of b's load, which nobody wanted."""
    stage.play(
        rag_and_c(),
        (Arrived(1, "a"), [Check("a"), Check("b")]),
        (Arrived(2, "c"), [Check("c")]),
        (Checked("a"), [Start("a")]),
        (Checked("c"), []),
        (Ready("a"), [Admit(1)]),
        (Departed(1), [stage.halt("a")]),
        (Exited("a"), [Start("c")]),
    )

"""Lines and the agenda."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.scheduler.agenda import Agenda
from corral.scheduler.queues import Line, QueueRules, Waiter


def test_a_line_is_first_come_and_anyone_may_leave():
    line = Line()
    waiters = [Waiter(request, request, 0.0, 0.0) for request in range(5)]
    for waiter in waiters:
        line.join(waiter)
    line.leave(0)
    line.leave(3)
    assert [waiter.request for waiter in line] == [1, 2, 4]
    assert (len(line), line.head, line.ahead_of(4)) == (3, waiters[1], 2)
    for request in (1, 2, 4):
        line.leave(request)
    assert (len(line), line.head) == (0, None)


def line_of(*callers):
    line = Line()
    for number, caller in enumerate(callers, 1):
        line.join(Waiter(number, number, float(number), 0.0, caller))
    return line


def served(line):
    while line.head:
        yield line.serve(line.head.request).request


def test_callers_take_turns():
    assert list(served(line_of(*"xxxyzzx"))) == [1, 4, 5, 2, 6, 3, 7]


def test_who_leaves_does_not_cost_its_caller_a_turn():
    line = line_of(*"xxyy")
    line.leave(1)
    assert list(served(line)) == [2, 3, 4]


def test_a_caller_that_comes_back_stands_behind_the_others():
    line = line_of(*"xyy")
    line.serve(1)
    line.join(Waiter(4, 4, 4.0, 0.0, "x"))
    assert list(served(line)) == [2, 4, 3]


def test_a_copy_of_a_line_goes_its_own_way():
    line = line_of(*"xxy")
    other = line.copy()
    assert list(served(other)) == [1, 3, 2]
    assert (len(line), line.callers, list(served(line))) == (3, 2, [1, 3, 2])


steps = st.lists(st.tuples(st.sampled_from(["join", "serve", "leave"]), st.integers(0, 4)))


@given(steps)
def test_a_line_is_what_it_says_and_fair(steps):
    """Against the rule as it is said: the caller that was served longest ago, or never came before, is served next."""
    line, waiting, turns = Line(), [], []
    for number, (step, who) in enumerate(steps, 1):
        if step == "join":
            waiter = Waiter(number, number, 0.0, 0.0, f"caller {who}")
            line.join(waiter)
            waiting.append(waiter)
            if waiter.caller not in turns:
                turns.append(waiter.caller)
        elif waiting and step == "leave":
            gone = waiting[who % len(waiting)]
            line.leave(gone.request)
            waiting.remove(gone)
        elif waiting:
            gone = line.serve(line.head.request)
            assert gone.caller == turns.pop(0)
            assert gone is next(w for w in waiting if w.caller == gone.caller)
            waiting.remove(gone)
            turns.append(gone.caller)
        turns = [caller for caller in turns if any(w.caller == caller for w in waiting)]
        assert (list(line), line.oldest) == (waiting, waiting[0] if waiting else None)
        assert line.callers == len(turns)
    places = {w.request: line.ahead_of(w.request) for w in waiting}
    assert [places[request] for request in served(line)] == list(range(len(waiting)))


@pytest.mark.parametrize("rule", ["max_wait", "queue_timeout", "max_queue", "min_residency"])
def test_negative_rules_are_no_rules(rule):
    with pytest.raises(ValueError, match="negative"):
        QueueRules(**{rule: -1})


def test_nobody_ages_under_fifo():
    waiter = Waiter(1, 1, 5.0, 0.0)
    assert QueueRules(max_wait=3.0).ages_at(waiter) == 8.0
    assert QueueRules(use="fifo", max_wait=3.0).ages_at(waiter) == math.inf


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=20))
def test_everyone_is_looked_at_once_at_their_earliest_time(bookings):
    agenda = Agenda()
    for name, at in bookings:
        agenda.book(name, at)
    earliest = {name: min(t for n, t in bookings if n == name) for name, _ in bookings}
    assert agenda.next == min(earliest.values(), default=None)
    seen = {}
    for now in range(10):
        for name in agenda.due(now):
            assert name not in seen
            seen[name] = now
        assert agenda.next is None or agenda.next > now
    assert seen == earliest

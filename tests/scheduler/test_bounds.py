"""Law 5 in seconds: in a world where everything takes its known time, nobody waits longer than the law allows."""

from __future__ import annotations

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.scheduler.events import (
    Admit,
    Arrived,
    Check,
    Checked,
    Departed,
    Exited,
    Ready,
    Start,
    Stop,
    Ticked,
    Wake,
)
from corral.scheduler.groups import Groups
from corral.scheduler.machine import Machine, ModelRules, QueueRules

CHECK, LOAD, SERVE, STOP = 0.1, 8.0, 5.0, 2.0
MAX_WAIT = 10.0
NAMES = "abc"
TURN = LOAD + SERVE + STOP
BOUND = MAX_WAIT + CHECK + (SERVE + STOP) + (len(NAMES) - 1) * TURN + LOAD


def simulate(machine, arrivals):
    """Every request's wait, with processes and clients that take the times above."""
    calendar = [(at, n, Arrived(n, model)) for n, (at, model) in enumerate(arrivals)]
    heapq.heapify(calendar)
    came, waits, number = {}, {}, len(arrivals)
    while calendar:
        now, _, fact = heapq.heappop(calendar)
        if isinstance(fact, Arrived):
            came[fact.request] = now
        for order in machine.handle(fact, now):
            match order:
                case Check(model):
                    soon = now + CHECK, Checked(model)
                case Start(model):
                    soon = now + LOAD, Ready(model)
                case Stop(model):
                    soon = now + STOP, Exited(model)
                case Admit(request):
                    waits[request] = now - came[request]
                    soon = now + SERVE, Departed(request)
                case Wake(at):
                    soon = at, Ticked()
            number += 1
            heapq.heappush(calendar, (soon[0], number, soon[1]))
    return waits


arrivals = st.lists(
    st.tuples(st.integers(0, 120).map(float), st.sampled_from(NAMES)), min_size=1, max_size=60
)


@given(arrivals, st.dictionaries(st.sampled_from(NAMES), st.integers(-2, 2)))
@settings(max_examples=300, deadline=None)
def test_nobody_waits_longer_than_the_law_allows(arrivals, priority):
    queue = QueueRules(priority=priority, max_wait=MAX_WAIT, queue_timeout=0)
    machine = Machine({name: ModelRules() for name in NAMES}, Groups(NAMES, []), queue)
    waits = simulate(machine, arrivals)
    assert len(waits) == len(arrivals)
    assert max(waits.values()) <= BOUND


def test_a_steady_stream_for_one_model_does_not_starve_another():
    busy = [(float(n), "a") for n in range(300)]
    queue = QueueRules(max_wait=MAX_WAIT)
    machine = Machine({name: ModelRules() for name in NAMES}, Groups(NAMES, []), queue)
    waits = simulate(machine, [*busy, (50.0, "b")])
    assert waits[300] <= MAX_WAIT + SERVE + STOP + LOAD


def test_under_fifo_it_would():
    busy = [(float(n), "a") for n in range(300)]
    machine = Machine({n: ModelRules() for n in NAMES}, Groups(NAMES, []), QueueRules(use="fifo"))
    assert simulate(machine, [*busy, (50.0, "b")])[300] > 240

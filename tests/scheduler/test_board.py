"""Looking at one model of a kind instead of at all of them must not make a difference."""

from __future__ import annotations

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.board import Board
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
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import Machine, ModelRules, QueueRules
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.queues import Waiter
from corral.scheduler.residency import Resident, State

NAMES = tuple("abcdefgh")


def groups(*, exclusive: bool, swap: bool) -> Groups:
    rules = [
        GroupRules("left", NAMES[:4], swap=swap, exclusive=exclusive),
        GroupRules("right", NAMES[4:7], swap=not swap, exclusive=False),
    ]
    return Groups(NAMES, rules, ["g"])


def matrix() -> MatrixPolicy:
    one_of_many = Either(tuple(map(One, NAMES[:4])))
    pair = Either((One("e"), One("f")))
    sets = (
        NamedSet("s", "", Every((one_of_many, pair))),
        NamedSet("t", "", Every((pair, One("g")))),
    )
    return MatrixPolicy(NAMES, Matrix(sets, {"a": 4, "e": 2}))


POLICIES = [groups(exclusive=e, swap=s) for e in (True, False) for s in (True, False)] + [matrix()]


class Apart:
    """The same policy, which says of no two models that they are of one kind, nor who always has to leave."""

    def __init__(self, policy):
        self.decide, self.rivals = policy.decide, policy.rivals

    def kind(self, model: str) -> str:
        return model

    def evictors(self, model: str) -> frozenset[str]:
        return frozenset()


def orders(machine, arrivals):
    """All orders of a little day, on which everything takes its time."""
    calendar = [(at, n, Arrived(n, model)) for n, (at, model) in enumerate(arrivals)]
    heapq.heapify(calendar)
    number, given = len(arrivals), []
    while calendar:
        now, _, fact = heapq.heappop(calendar)
        for order in machine.handle(fact, now):
            given.append((now, order))
            match order:
                case Check(model):
                    soon = now + 0.5, Checked(model)
                case Start(model):
                    soon = now + 4.0, Ready(model)
                case Stop(model):
                    soon = now + 1.0, Exited(model)
                case Admit(request):
                    soon = now + 1.0 + request % 5, Departed(request)
                case Wake(at):
                    soon = at, Ticked()
            number += 1
            heapq.heappush(calendar, (soon[0], number, soon[1]))
    return given


@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(st.integers(0, 60).map(float), st.sampled_from(NAMES)), max_size=50),
    st.builds(
        QueueRules,
        use=st.sampled_from(["fair", "fifo"]),
        max_wait=st.sampled_from([0.0, 8.0]),
        min_residency=st.sampled_from([0.0, 6.0]),
        queue_timeout=st.just(0),
        priority=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1)),
    ),
    st.integers(0, 2),
)
@settings(max_examples=200, deadline=None)
def test_it_makes_no_difference_that_models_are_of_a_kind(policy, arrivals, queue, parallel):
    rules = {name: ModelRules(parallel=parallel, persist=name == "g") for name in NAMES}
    together = orders(Machine(rules, policy, queue), arrivals)
    apart = orders(Machine(rules, Apart(policy), queue), arrivals)
    assert together == apart
    assert sum(isinstance(order, Admit) for _, order in together) == len(arrivals)


def seeker(name: str, number: int, priority: int = 0) -> Resident:
    model = Resident(name, ModelRules(), priority)
    model.line.join(Waiter(number, number, float(number), 0.0))
    return model


def test_the_board_knows_who_seeks_room_in_every_order():
    board = Board(lambda name: "early" if name < "c" else "late")
    models = [seeker("a", 3), seeker("b", 1), seeker("c", 2, priority=1)]
    for model in models:
        board.list(model)
        board.list(model)  # once is enough
    assert [model.model for _, model in board.by_age] == ["b", "c", "a"]
    assert [model.model for model in board.by_priority] == ["c", "b", "a"]
    assert set(board.alike(models[0])) == {"a", "b"}
    models[1].state = State.LOADING
    models[2].line.leave(2)
    for model in models:
        board.list(model)
    assert [model.model for _, model in board.by_age] == ["a"]
    assert (set(board.seeking), [m.listed for m in models]) == ({"a"}, [3, 0, 0])

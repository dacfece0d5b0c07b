"""Which target a selector takes, as a table, and what holds for every choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.scheduler.residency import State
from corral.scheduler.selectors import Candidate, ranked

COLD = Candidate(State.UNLOADED)
LOADING = Candidate(State.LOADING)
READY = Candidate(State.READY)
LEAVING = Candidate(State.UNLOADING)
DRAINING = Candidate(State.DRAINING)
PEER = Candidate(None)
DOWN = Candidate(None, available=False)


def busy(reserved, state=State.READY):
    return Candidate(state, reserved)


@pytest.mark.parametrize(
    ("strategy", "candidates", "first"),
    [
        ("pin", [COLD, READY], 0),
        ("pin", [DOWN, COLD], 1),
        ("pin", [DOWN, DOWN], 0),
        ("warm", [COLD, LOADING, READY], 2),
        ("warm", [COLD, LOADING], 1),
        ("warm", [READY, READY], 0),
        ("warm", [COLD, LEAVING], 0),
        ("spillover", [COLD, COLD], 0),
        ("spillover", [COLD, READY], 1),
        ("spillover", [busy(1), COLD], 1),
        ("spillover", [busy(1), LEAVING, COLD], 2),
        ("spillover", [busy(2), busy(1)], 1),
        ("spillover", [busy(1), busy(1)], 0),
        ("spillover", [PEER, READY], 1),
        ("spillover", [busy(1, None), READY], 1),
        ("spillover", [DOWN, busy(5)], 1),
        ("spillover", [LEAVING, DRAINING], 0),
        ("spillover", [DRAINING, DOWN], 0),
        ("spillover", [busy(1, State.DRAINING), COLD], 1),
    ],
)
def test_who_is_taken(strategy, candidates, first):
    assert ranked(strategy, candidates)[0] == first


def test_the_limit_says_when_the_next_one_is_woken():
    assert ranked("spillover", [busy(2), COLD], limit=3)[0] == 0
    assert ranked("spillover", [busy(3), COLD], limit=3)[0] == 1


def test_equals_take_turns():
    same = [READY, READY, READY]
    assert [ranked("spillover", same, turn=turn)[0] for turn in range(4)] == [0, 1, 2, 0]


candidates = st.lists(
    st.builds(Candidate, st.sampled_from([None, *State]), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=5,
)


@given(st.sampled_from(["pin", "warm", "spillover"]), candidates, st.integers(1, 3), st.integers(0))
def test_everybody_is_ranked_once_and_who_is_down_last(strategy, targets, limit, turn):
    order = ranked(strategy, targets, limit=limit, turn=turn)
    assert sorted(order) == list(range(len(targets)))
    available = [targets[i].available for i in order]
    assert available == sorted(available, reverse=True)


@given(candidates, st.integers(1, 3), st.integers(0))
def test_nobody_is_woken_while_one_that_is_awake_has_room(targets, limit, turn):
    first = targets[ranked("spillover", targets, limit=limit, turn=turn)[0]]
    has_room = any(t.available and t.active and t.reserved < limit for t in targets)
    assert not has_room or (first.active and first.reserved < limit)

"""Which session has which slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.usage import Usage
from corral.gateway.seating import SLACK, Count, Slot, choice, held, reconcile

NONE = frozenset()


def slots(*sessions, **facts):
    """One for each session, used in this order."""
    found = [Slot(number, session, used=number) for number, session in enumerate(sessions)]
    for slot in found:
        for name, numbers in facts.items():
            setattr(slot, name, slot.number in numbers)
    return found


@pytest.mark.parametrize(
    ("have", "working", "expected"),
    [
        (slots("s", "t"), NONE, 0),
        (slots("t", ""), NONE, 1),  # nobody's before somebody's
        (slots("t", "u"), NONE, 0),  # used longest ago
        (slots("t", "u", seated={0}), NONE, 1),
        (slots("t", "u", seated={0, 1}), NONE, None),
        (slots("t", "u"), {0}, 1),
        (slots("t", "u"), {0, 1}, None),
        (slots("s", "u"), {0}, 1),  # somebody else is in its own
        (slots("s", "u", cut={0}), {0}, 0),  # that is its own last answer
        (slots("s", "u", seated={0}), NONE, 0),  # nobody has told that its last turn is over
        ([], NONE, None),
    ],
)
def test_the_choice(have, working, expected):
    found = choice(have, "s", frozenset(working))
    assert (found and found.number) == expected


def test_what_somebody_else_is_in_is_no_longer_the_sessions():
    have = slots("s", dirty={0})
    assert choice(have, "s", frozenset({0})) is None
    assert have == [Slot(0)]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        (Usage(), None),
        (Usage(100, 20, -1), {120}),
        (Usage(100, 20, 900), {120, 1020}),
    ],
)
def test_what_a_slot_holds_after_an_answer(usage, expected):
    assert held(usage) == expected


def with_count(slot, tokens):
    slot.count = Count({tokens})
    return slot


def test_sessions_are_found_where_their_counts_are():
    have = slots("s", "t", "", dirty={0, 1}, unsure={0, 1})
    with_count(have[0], 1000)
    with_count(have[1], 2000)
    reconcile(have, {1: 1000 - SLACK, 2: 2000 + SLACK})
    assert [(slot.session, slot.dirty, slot.unsure) for slot in have] == [
        ("", False, False),
        ("s", True, False),
        ("t", True, False),
    ]


def test_one_that_is_nowhere_is_forgotten():
    have = [with_count(slots("s", dirty={0})[0], 1000)]
    reconcile(have, {0: 1000 + SLACK + 1})
    assert have == [Slot(0)]


@pytest.mark.parametrize("facts", [{"seated": {0}}, {"cut": {0}}])
def test_what_is_in_use_is_not_looked_at(facts):
    have = [with_count(slots("s", **facts)[0], 1000)]
    reconcile(have, {0: 5})
    assert have[0].session == "s"


def test_when_nobody_says_nothing_changes():
    have = [with_count(slots("s", unsure={0})[0], 1000)]
    reconcile(have, {})
    assert (have[0].session, have[0].unsure) == ("s", True)


def test_what_did_not_tell_fits_anything():
    have = slots("s")
    reconcile(have, {0: 7})
    assert have[0].session == "s"


numbers = st.integers(0, 3000)
states = st.builds(
    lambda session, seated, cut, count: (session, seated, cut, count),
    st.sampled_from(["", "s", "t", "u", "v"]),
    st.booleans(),
    st.booleans(),
    st.none() | numbers,
)


@given(
    st.lists(states, max_size=5, unique_by=lambda state: state[0] or object()),
    st.dictionaries(st.integers(0, 5), numbers),
)
def test_a_session_is_in_one_slot_at_most_and_those_in_use_stay(facts, tokens):
    have = [
        Slot(number, session, seated, cut=cut, count=None if count is None else Count({count}))
        for number, (session, seated, cut, count) in enumerate(facts)
    ]
    before = [(slot.session, slot.seated) for slot in have]
    reconcile(have, tokens)
    sessions = [slot.session for slot in have if slot.session]
    assert len(sessions) == len(set(sessions))
    assert set(sessions) <= {session for session, _ in before}
    for slot, (session, seated) in zip(have, before, strict=True):
        if seated:
            assert slot.session == session
        elif tokens and slot.session and not slot.cut and slot.count is not None:
            assert slot.count.fits(tokens.get(slot.number, 0))

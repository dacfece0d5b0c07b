"""Which messages go into a prompt: the cases, and the laws for any conversation."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from corral.sessions.budget import Limits
from corral.sessions.costs import Cost, Costs
from corral.sessions.trim import TooLong, Trimmed, anchor, trim


def messages(text):
    """`u`, `a`, `s`: user, assistant, system; `c1` calls a tool, `c1+2` two, `t1` answers; `f`, `g`: a function call and its answer."""
    return [_message(word) for word in text.split()]


def _message(word):
    kind, ids = word[0], word[1:].split("+")
    match kind:
        case "c":
            return {"role": "assistant", "tool_calls": [{"id": of} for of in ids]}
        case "t":
            return {"role": "tool", "tool_call_id": word[1:]}
        case "f":
            return {"role": "assistant", "function_call": {"name": "look"}}
        case "g":
            return {"role": "function", "name": "look"}
    return {"role": {"u": "user", "a": "assistant", "s": "system"}[kind]}


def tens(many, fixed=5):
    """Costs of so many messages: each 10 tokens, 100 characters."""
    return Costs(Cost(fixed * 10, fixed), (Cost(100, 10),) * many)


def start(text, tokens, turn=1, before=0):
    told = messages(text)
    found = trim(
        told, tens(len(told)), Limits(tokens=tokens, ceiling=tokens), turn=turn, before=before
    )
    return found.start


CASES = [
    # text, token limit, start
    ("u a u a u", None, 0),
    ("u a u a u", 55, 0),
    ("u a u a u", 54, 2),
    ("u a u a u", 35, 2),
    ("u a u a u", 34, 4),
    ("u a u a u", 15, 4),
    # tools: all of a chain or nothing
    ("u a u c1 t1 a u", 75, 0),
    ("u a u c1 t1 a u", 55, 2),
    ("u a u c1 t1 a u", 54, 6),
    ("u a u c1+2 u t1 u t2 u", 95, 0),
    ("u a u c1+2 u t1 u t2 u", 75, 2),
    ("u a u c1+2 u t1 u t2 u", 74, 8),
    ("u a c1 u t1 u", 64, 5),
    ("u c1 t1 u c1 t1 u", 45, 3),  # an id that is used again is another call
    ("u f g u", 44, 3),
    ("u f u g u", 45, 4),
    # never an assistant, a tool or a system message first
    ("a u a u", 44, 1),
    ("s u a u", 44, 1),
    ("u t9 u", 34, 2),  # answers no call that is there
    # at its beginning a conversation is as its client has it
    ("a u", 25, 0),
    ("a", None, 0),
]


@pytest.mark.parametrize(("text", "tokens", "expected"), CASES)
def test_the_newest_that_fit(text, tokens, expected):
    assert start(text, tokens) == expected


@pytest.mark.parametrize(
    ("text", "turn", "expected"),
    [("u a u a u", 1, 4), ("u a u a u", 2, 2), ("u a u c1 t1", 1, 2), ("u c1 t1 c2 t2 t3", 2, 0)],
)
def test_this_turn_stays_with_what_it_answers(text, turn, expected):
    told = messages(text)
    assert anchor(told, turn=turn) == expected
    assert start(text, 1, turn) == expected


def test_the_beginning_may_be_further_back():
    assert anchor(messages("a c1 t1"), turn=1, before=7) is None
    assert anchor(messages("a c1 t1"), turn=1) == 0
    found = trim(messages("a c1 t1"), tens(3), Limits(messages=1), turn=1, before=7)
    assert (found.start, found.dropped) == (2, 9)


LONG = messages("u a u a u")


@pytest.mark.parametrize(
    ("limits", "exact", "expected"),
    [
        (Limits(), False, Trimmed(0, 0, 5, "messages")),
        (Limits(messages=3), False, Trimmed(2, 2, 3, "messages")),
        (Limits(messages=4), False, Trimmed(2, 2, 3, "messages")),
        (Limits(characters=550), False, Trimmed(0, 0, 550, "characters")),
        (Limits(characters=549, messages=9), False, Trimmed(2, 2, 350, "characters")),
        (Limits(tokens=40), False, Trimmed(2, 2, 35, "estimated_tokens")),
        (Limits(tokens=40), True, Trimmed(2, 2, 35, "tokens")),
        (Limits(tokens=40, characters=200), True, Trimmed(4, 4, 15, "tokens")),
        (Limits(tokens=10, ceiling=15), True, Trimmed(4, 4, 15, "tokens")),
    ],
)
def test_what_is_told(limits, exact, expected):
    assert trim(LONG, tens(5), limits, turn=1, exact=exact) == expected


def test_what_was_left_out_before_counts_as_dropped():
    found = trim(LONG, tens(5), Limits(tokens=35), turn=1, before=100)
    assert (found.start, found.dropped) == (2, 102)


def test_a_turn_that_does_not_fit():
    found = trim(LONG, tens(5), Limits(tokens=14, ceiling=14), turn=1)
    assert found == TooLong(4, 15, 14, "estimated_tokens")
    assert (
        str(found) == "the system prompt and this turn alone are 15 estimated tokens, of 14 at most"
    )
    assert trim(LONG, tens(5), Limits(tokens=14, ceiling=14), turn=1, exact=True).unit == "tokens"
    found = trim(LONG, tens(5), Limits(characters=149), turn=1)
    assert found == TooLong(4, 150, 149, "characters")


def test_a_turn_of_more_messages_than_a_prompt_may_hold_is_no_error():
    found = trim(messages("u a u c1 t1 c2 t2"), tens(7), Limits(messages=3), turn=1)
    assert found == Trimmed(2, 2, 5, "messages")


# --- the laws ----------------------------------------------------------------------------------------------------


@st.composite
def conversations(draw):
    """Any order of messages, also such as no client sends."""
    words = ["u", "u", "a", "s", "c1", "c2", "c1+2", "t1", "t2", "t3", "f", "g"]
    told = messages(" ".join(draw(st.lists(st.sampled_from(words), min_size=1, max_size=20))))
    weight = st.builds(Cost, st.integers(0, 50), st.integers(0, 50))
    costs = Costs(draw(weight), tuple(draw(weight) for _ in told))
    return told, costs, draw(st.integers(1, len(told)))


AT_MOST = st.none() | st.integers(0, 400)
LIMITS = st.builds(
    lambda m, c, t, more: Limits(m, c, t, t if t is None else t + more),
    AT_MOST,
    AT_MOST,
    AT_MOST,
    st.integers(0, 50),
)


def pairs(told):
    """Every result with the call that it answers: the nearest before it."""
    for at, message in enumerate(told):
        of = message.get("tool_call_id") or message.get("name")
        calls = (i for i in range(at - 1, -1, -1) if of in _ids(told[i]))
        if of and (call := next(calls, None)) is not None:
            yield call, at


def _ids(message):
    single = message.get("function_call")
    return [call["id"] for call in message.get("tool_calls", ())] + (
        [single["name"]] if single else []
    )


def weigh(told, costs, at):
    kept = [costs.fixed, *costs.messages[at:]]
    return len(told) - at, sum(c.size for c in kept), sum(c.tokens for c in kept)


@given(conversations(), LIMITS)
def test_the_turn_is_kept_calls_and_results_are_together_and_a_user_begins(conversation, limits):
    told, costs, turn = conversation
    found = trim(told, costs, limits, turn=turn)
    assert found.start <= len(told) - turn
    assert all((call < found.start) == (result < found.start) for call, result in pairs(told))
    if found.start:
        assert told[found.start]["role"] == "user"


@given(conversations(), LIMITS)
def test_it_fits_or_it_is_the_shortest(conversation, limits):
    told, costs, turn = conversation
    found = trim(told, costs, limits, turn=turn)
    many, characters, tokens = weigh(told, costs, found.start)
    shortest = found.start == anchor(told, turn=turn)
    for amount, limit in (
        (many, limits.messages),
        (characters, limits.characters),
        (tokens, limits.tokens),
    ):
        assert shortest or limit is None or amount <= limit
    over = [
        (amount, limit)
        for amount, limit in ((tokens, limits.ceiling), (characters, limits.characters))
        if limit is not None and amount > limit
    ]
    assert isinstance(found, TooLong) == bool(over)
    if over:
        assert (found.cost, found.limit) == over[0]


@given(conversations(), LIMITS)
def test_no_more_would_fit(conversation, limits):
    told, costs, turn = conversation
    found = trim(told, costs, limits, turn=turn)
    for at in range(found.start):
        many, characters, tokens = weigh(told, costs, at)
        assert (
            (at and told[at]["role"] != "user")
            or any(call < at <= result for call, result in pairs(told))
            or (limits.messages is not None and many > limits.messages)
            or (limits.characters is not None and characters > limits.characters)
            or (limits.tokens is not None and tokens > limits.tokens)
        )


@given(conversations(), LIMITS, LIMITS)
def test_a_greater_limit_never_keeps_less(conversation, one, other):
    told, costs, turn = conversation
    pairs_of = zip(
        (one.messages, one.characters, one.tokens, one.ceiling),
        (other.messages, other.characters, other.tokens, other.ceiling),
        strict=True,
    )
    greater = Limits(*(None if None in pair else max(pair) for pair in pairs_of))
    assert trim(told, costs, greater, turn=turn).start <= trim(told, costs, one, turn=turn).start


@given(conversations(), LIMITS)
def test_what_is_kept_is_kept_again(conversation, limits):
    told, costs, turn = conversation
    first = trim(told, costs, limits, turn=turn)
    assume(isinstance(first, Trimmed))
    rest = Costs(costs.fixed, costs.messages[first.start :])
    again = trim(told[first.start :], rest, limits, turn=turn, before=first.start)
    assert again == Trimmed(0, first.dropped, first.cost, first.unit)


@given(conversations(), LIMITS)
def test_the_cost_is_what_is_kept(conversation, limits):
    told, costs, turn = conversation
    found = trim(told, costs, limits, turn=turn)
    units = ("messages", "characters", "estimated_tokens")
    assert found.cost == dict(zip(units, weigh(told, costs, found.start), strict=True))[found.unit]


def test_a_long_conversation():
    turns = count()
    told = [
        message
        for _ in range(5000)
        for message in messages(f"u c{next(turns)} t{next(turns) - 1} a")
    ]
    found = trim(told, tens(len(told)), Limits(tokens=10_000), turn=1)
    assert len(told) - found.start == 996

"""What is known of a prompt's tokens from what engines have counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.sessions.budget import MEDIUM, TEMPLATE, estimate, size
from corral.sessions.costs import Cost, Costs, costs, shared
from corral.sessions.record import Record

SYSTEM = ({"role": "system", "content": "x" * 94},)


def message(role, text, **more):
    return {"role": role, "content": text, **more}


def record(role, text, *, model="", prompt=None, own=None, start=1, **more):
    said = message(role, text, **more)
    return Record(
        said,
        b"",
        size(said),
        model=model,
        prompt_tokens=prompt,
        answer_tokens=own,
        prompt_from=start,
    )


def asked(text, **more):
    return record("user", text, **more)


def said(text, prompt=None, own=None, start=1, model="m", **more):
    return record("assistant", text, model=model, prompt=prompt, own=own, start=start, **more)


def of(stored, new=(), model="m", system=SYSTEM, **more):
    return costs(
        system, more.pop("extra", 0), stored, new, model=model, chars_per_token=4.0, **more
    )


def tokens(found, start=0):
    return sum(cost.tokens for cost in found.prompt(start))


def test_nothing_counted_is_estimated():
    found = of([asked("a" * 36)], [message("user", "b" * 76)], extra=40)
    assert found.fixed == Cost(140, 35 + TEMPLATE)
    assert found.messages == (Cost(40, 10 + TEMPLATE), Cost(80, 20 + TEMPLATE))
    assert found.most(0) == 140 + 40 + 80 + 3 * TEMPLATE
    assert found.most(2) == 140 + TEMPLATE


def test_the_whole_prompt_of_the_last_answer_is_known():
    stored = [asked("q" * 400), said("a" * 30, 500, 17), asked("r" * 300), said("b" * 80, 777, 30)]
    found = of(stored, [message("user", "new")])
    assert tokens(Costs(found.fixed, found.messages[:3])) == 777
    assert all(cost.known for cost in (found.fixed, *found.messages[:4]))
    assert found.messages[3].tokens == 30 + TEMPLATE
    assert not found.messages[4].known


def test_the_difference_between_two_prompts_is_what_is_between_them():
    stored = [
        asked("q"),
        said("a", 100, 10),
        asked("r" * 99),
        said("b", 150, 5),
        asked("s"),
        said("c", 175, 9),
    ]
    found = of(stored)
    assert [cost.tokens for cost in found.messages[1:3]] == [10 + TEMPLATE, 50 - 10 - TEMPLATE]
    assert sum(cost.tokens for cost in found.messages[3:5]) == 25
    assert tokens(Costs(found.fixed, found.messages[:1])) == 100


def test_another_models_count_says_nothing():
    stored = [asked("q" * 400), said("a", 5000, 17, model="other")]
    assert of(stored) == of([asked("q" * 400), said("a")])


def test_another_system_prompt_leaves_the_differences():
    stored = [asked("q"), said("a", 100, 10), asked("r"), said("b", 150, 5)]
    found = of(stored, same_system=False)
    assert not found.fixed.known
    assert sum(cost.tokens for cost in found.messages[1:3]) == 50


def test_what_an_answer_thought_is_not_in_later_prompts():
    for thought in ({"reasoning_content": "hm " * 500},):
        stored = [asked("q"), said("a" * 40, 100, 900, **thought)]
        assert not of(stored).messages[1].known
        assert of(stored).messages[1].tokens < 50


def test_a_prompt_that_began_before_what_is_at_hand():
    stored = [asked("q" * 40), said("a" * 40, 4000, 20, start=7)]
    found = of(stored, first=9)
    assert not found.fixed.known
    assert found.messages[1].tokens == 20 + TEMPLATE


def test_a_prompt_that_began_later_is_known_from_there():
    stored = [asked("q" * 400), said("a", 90, 3), asked("r" * 80), said("b", 50, 4, start=3)]
    found = of(stored)
    assert tokens(Costs(found.fixed, found.messages[2:3])) == 50
    assert found.messages[1].tokens == 3 + TEMPLATE


def test_a_dense_text_teaches_the_estimate():
    dense = [asked("木" * 4000), said("林" * 4000, 5000, 4200)]
    assert of(dense, [message("user", "森" * 4000)]).messages[2].tokens > 3500
    plain = [asked("a" * 4000), said("b" * 4000, 1050, 1000)]
    assert 900 < of(plain, [message("user", "c" * 4000)]).messages[2].tokens < 1200


def test_a_short_exchange_teaches_little():
    stored = [asked("hi"), said("hello", 60, 2)]
    assert of(stored, [message("user", "c" * 40_000)]).messages[2].tokens < 12_000


def test_an_image_teaches_nothing_of_text():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    seen = message("user", [image])
    stored = [Record(seen, b"", size(seen)), said("a" * 4000, 300, 1000)]
    found = of(stored, [message("user", "c" * 4000)])
    assert found.messages[0].size == MEDIUM + 4
    assert 900 < found.messages[2].tokens < 1200
    assert tokens(Costs(found.fixed, found.messages[:1])) == 300


def test_a_count_that_went_down_is_passed_over():
    stored = [asked("q"), said("a", 100, 10), asked("r"), said("b", 90, 5)]
    found = of(stored)
    assert tokens(Costs(found.fixed, found.messages[:3])) == 90


def test_what_is_counted_now_falls_to_what_was_estimated():
    before = of([asked("q" * 400), said("a", 500, 17)], [message("user", "n" * 400)])
    after = before.counted(0, 700)
    assert tokens(after) == 700 == after.most(0)
    assert after.messages[:2] == before.messages[:2]


def test_what_is_left_out_is_as_dense_as_what_was_counted():
    before = of([asked("q" * 400), asked("r" * 400)])
    after = before.counted(1, 4 * tokens(before, 1))
    assert after.messages[0].tokens == 4 * before.messages[0].tokens
    assert not after.messages[0].known
    assert tokens(after, 1) == 4 * tokens(before, 1)


def test_a_count_below_what_was_known_is_believed():
    before = of([asked("q" * 400), said("a", 500, 17)], [message("user", "n" * 400)])
    assert tokens(before.counted(0, 300)) == 300
    assert tokens(before.counted(1, 20), 1) == 20
    assert before.counted(1, 20).messages[0] == before.messages[0]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**4), max_size=20))
def test_shares_are_whole_and_add_up(total, weights):
    parts = shared(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (total if any(weights) else 0)
    assert all(
        abs(part * sum(weights) - total * w) < max(1, sum(weights))
        for part, w in zip(parts, weights, strict=True)
    )


@st.composite
def histories(draw):
    """A conversation whose engine really has tokens: so many for each message, and some before all."""
    fixed = draw(st.integers(1, 300))
    stored, true = [], []
    for _ in range(draw(st.integers(1, 8))):
        text = draw(st.text(max_size=60))
        stored.append(asked(text))
        true.append(draw(st.integers(1, 90)))
        own = draw(st.integers(1, 50))
        stored.append(said("a" * draw(st.integers(0, 200)), fixed + sum(true), own))
        true.append(own + TEMPLATE)
    return fixed, stored, true


@given(histories(), st.text(max_size=30))
def test_a_growing_conversations_costs_are_what_its_engine_counts(history, text):
    fixed, stored, true = history
    found = of(stored, [message("user", text)])
    assert tokens(Costs(found.fixed, found.messages[:-1])) == fixed + sum(true)
    assert [cost.tokens for cost in found.messages[1:-1]] == pytest.approx(true[1:])
    assert found.messages[-1].tokens >= 1


@given(histories(), st.integers(1, 10**5), st.data())
def test_what_an_engine_counts_is_what_it_costs(history, counted, data):
    _, stored, _ = history
    found = of(stored, [message("user", "new")], same_system=data.draw(st.booleans()))
    start = data.draw(st.integers(0, len(stored)))
    after = found.counted(start, counted)
    assert tokens(after, start) == counted
    assert [cost.size for cost in after.messages] == [cost.size for cost in found.messages]


def test_estimates_follow_the_configured_characters_of_a_token():
    found = costs((), 0, [], [message("user", "a" * 96)], model="m", chars_per_token=1.0)
    assert found.messages[0].tokens == estimate(100, 1.0) == 104
    assert found.fixed.tokens == 1 + TEMPLATE

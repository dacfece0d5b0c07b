"""Answers that were cut off, as later prompts have them."""

from __future__ import annotations

import pytest

from corral.sessions.partial import in_turn, mended
from corral.sessions.record import Record

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OTHER = CALL | {"id": "c2", "function": {"name": "g", "arguments": '{"a'}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "5"}


def record(message, *, partial=False):
    return Record(message, b"", 0, partial=partial)


def answer(**members):
    return record({"role": "assistant"} | members, partial=True)


def test_whole_answers_stay_as_they_are():
    stored = [record({"role": "assistant", "tool_calls": [OTHER]})]
    assert mended(stored, []) == stored


@pytest.mark.parametrize(
    ("cut", "becomes"),
    [
        ({"content": "so far"}, {"content": "so far"}),
        ({"content": "so far", "tool_calls": [OTHER]}, {"content": "so far"}),
        ({"content": None, "tool_calls": [OTHER]}, {"content": ""}),
        ({"content": None, "function_call": {"name": "f"}}, {"content": ""}),
        ({"content": None, "tool_calls": "junk"}, {"content": ""}),
        ({"content": None, "tool_calls": ["junk", OTHER]}, {"content": ""}),
        ({"reasoning_content": "hm"}, {"reasoning_content": "hm", "content": ""}),
    ],
)
def test_what_is_left_of_one_that_was_cut_off(cut, becomes):
    (mend,) = mended([answer(**cut)], [])
    assert mend.message == {"role": "assistant"} | becomes
    assert mend.partial


@pytest.mark.parametrize("stored", [True, False])
def test_a_call_that_was_answered_stays(stored):
    cut = answer(content=None, tool_calls=[CALL, OTHER])
    if stored:
        mend, result = mended([cut, record(RESULT)], [])
        assert result.message == RESULT
    else:
        (mend,) = mended([cut], [RESULT])
    assert mend.message == {"role": "assistant", "content": None, "tool_calls": [CALL]}


def test_every_message_keeps_its_place():
    stored = [
        record({"role": "user", "content": "one"}),
        answer(),
        record({"role": "user", "content": "two"}),
    ]
    assert [one.message["role"] for one in mended(stored, [])] == ["user", "assistant", "user"]


# --- questions that got no answer ---

PICTURE = {"type": "image_url", "image_url": {"url": "blob:1"}}


def user(content, at=0.0):
    return Record({"role": "user", "content": content}, b"", 0, at)


def test_a_question_without_an_answer_is_one_with_the_next():
    said = in_turn([user("one", 1.0), user("two", 2.0)], [{"role": "user", "content": "three"}])
    assert said == [{"role": "user", "content": "one\n\ntwo\n\nthree"}]


@pytest.mark.parametrize(
    ("first", "then", "both"),
    [
        ("a", [PICTURE], [{"type": "text", "text": "a"}, PICTURE]),
        ([PICTURE], "b", [PICTURE, {"type": "text", "text": "b"}]),
        ([PICTURE], [PICTURE], [PICTURE, PICTURE]),
    ],
)
def test_its_parts_too(first, then, both):
    said = in_turn([user(first, 1.0)], [{"role": "user", "content": then}])
    assert said == [{"role": "user", "content": both}]


def test_what_was_sent_in_one_turn_stays_apart():
    new = [{"role": "user", "content": "three"}, {"role": "user", "content": "four"}]
    stored = [user("one", 1.0), user("two", 1.0), record({"role": "assistant", "content": "hi"})]
    assert in_turn(stored, new) == [*(known.message for known in stored), *new]


def test_a_message_of_another_kind_is_not_joined():
    result = {"role": "tool", "tool_call_id": "c1", "content": ""}
    odd = {"role": "user", "content": None}
    assert in_turn([user("one", 1.0)], [result]) == [{"role": "user", "content": "one"}, result]
    assert in_turn([user("one", 1.0)], [odd]) == [{"role": "user", "content": "one"}, odd]
    assert in_turn([], [odd]) == [odd]

"""What a request adds to what is stored: as plays, and for any history and any client."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corral.sessions.identity import digest
from corral.sessions.recognise import Recognised, recognise, resent


def messages(text):
    """`u1 a1 s1 t1`: user, assistant, system, tool."""
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    return [{"role": roles[word[0]], "content": word} for word in text.split()]


def digests(text):
    return [digest(message) for message in messages(text)]


NEW_TURNS = [
    # stored, sent → kept, new, turn
    ("", "u1", 0, 0, 1),
    ("u1 a1", "u2", 2, 0, 1),
    ("u1 a1", "u1", 2, 0, 1),
    ("u1 a1", "s1 u2", 2, 0, 2),
    ("u1 a1", "t1 t2", 2, 0, 2),
    ("u1 a1", "", 2, 0, 0),
    ("u1 a1 u2", "u3", 3, 0, 1),
    ("u1 a1 u2", "u2", 3, 1, 1),  # asked again, unanswered so far
    ("u1 a1 t1 u2", "t1 u2", 4, 2, 2),
    ("u2", "u1 u2", 1, 0, 2),
    ("u1", "u1 u2", 1, 1, 2),  # with more after it
    ("u1 a1 t1 u2", "t1 u2 u3", 4, 2, 3),
    ("u1 a1 u2 u2", "u2 u3", 4, 1, 2),
    ("u1 a1 u2 u2", "u2 u2 u3", 4, 2, 3),
    ("u1 a1", "u1 u2", 2, 0, 2),  # it was answered
]

SENT_AGAIN = [
    ("", "u1 a1 u2", 0, 0, 1),
    ("u1 a1", "u1 a1 u2", 2, 2, 1),
    ("u1 a1", "u1 a1 t1 t2", 2, 2, 2),
    ("u1 a1 u2", "u1 a1 u2", 3, 3, 1),
    ("u1", "u1 a1 u2", 1, 1, 1),  # the answer did not get here
    # the newest part
    ("u1 a1 u2 a2", "u2 a2 u3", 4, 2, 1),
    ("u1 a1 u2 a2", "a2 u3", 4, 1, 1),
    ("u1 a1 u2 a2 u3", "u2 a2 u3", 5, 3, 1),
    ("u1 a1 u9 a9 u1 a1 u2 a2", "u1 a1 u2 a2 u3", 8, 4, 1),
    ("u1 a1 u1 a1 u1 a1", "u1 a1 u1 a1 u2", 6, 4, 1),
    ("u1 a1 u1 a1", "u1 a1 u1 a1 u2", 4, 4, 1),
]

LEFT = [
    # the last answer again, an earlier one again
    ("u1 a1 u2 a2", "u1 a1 u2", 3, 3, 1),
    ("u1 a1 u2 a2 u3 a3", "u1 a1 u2", 3, 3, 1),
    ("u1 a1 u1 a1", "u1 a1 u1", 3, 3, 1),
    # a question edited
    ("u1 a1 u2 a2", "u1 a1 u9", 2, 2, 1),
    ("u1 a1 u2 a2 u3 a3", "u1 a1 u9 a9 u3", 2, 2, 1),
    ("u1 a1 u2 a2", "u9 a1 u2 a2 u3", 0, 0, 1),
    # an answer edited, or received in part
    ("u1 a1 u2 a2", "u1 a9 u2 a2 u3", 1, 1, 1),
    # the newest part, left
    ("u1 a1 u2 a2 u3 a3", "u2 a2 u3", 5, 3, 1),
    ("u1 a1 u2 a2 u3 a3", "u2 a2 u9", 4, 2, 1),
    ("u3 a3 u1 a1 u2 a2 u1 a1 u4", "u1 a1 u9", 8, 2, 1),
    # a tie: who sends from the first message on sends all
    ("u1 a1 u2 a2 u1 a1 u4 a4", "u1 a1 u9", 2, 2, 1),
    # another conversation
    ("u1 a1 u2 a2", "u8 a8 u9", 0, 0, 1),
    ("u1 a1 u2 a2", "u2 a8 u9", 0, 0, 1),
]


@pytest.mark.parametrize(("stored", "sent", "kept", "new", "turn"), NEW_TURNS)
def test_a_new_turn(stored, sent, kept, new, turn):
    place = recognise(digests(stored), messages(sent))
    assert place == Recognised(kept, new, len(messages(sent)), turn, fork=False)


@pytest.mark.parametrize(("stored", "sent", "kept", "new", "turn"), SENT_AGAIN)
def test_a_history_that_is_sent_again(stored, sent, kept, new, turn):
    place = recognise(digests(stored), messages(sent))
    assert place == Recognised(kept, new, len(messages(sent)), turn, fork=False)


@pytest.mark.parametrize(("stored", "sent", "kept", "new", "turn"), LEFT)
def test_a_history_that_is_left(stored, sent, kept, new, turn):
    place = recognise(digests(stored), messages(sent))
    assert place == Recognised(kept, new, len(messages(sent)), turn, fork=True)


PREFILLED = [
    # the last one sent is the beginning of an answer
    ("", "u1 a1", 0, 0, 2, False),
    ("u1 a1", "u2 a2", 2, 0, 2, False),
    ("u1 a1", "u1 a1 u2 a2", 2, 2, 2, False),
    ("u1 a1", "a9", 2, 0, 1, False),
    ("u1 a1 u2", "u2 a2", 3, 1, 2, False),
    # or of one that is stored, to be continued
    ("u1 a1", "u1 a1", 1, 1, 2, True),
    ("u1 a1 u2 a2", "u2 a2", 3, 1, 2, True),
    ("u1 a1 u2 a2", "a2", 3, 0, 1, True),
    ("u1 a1 u2 a2", "u1 a1 u2 a2", 3, 3, 2, True),
    ("u1 a1 u2 a2", "u1 a1 u2 a9", 3, 3, 2, True),
]


@pytest.mark.parametrize(("stored", "sent", "kept", "new", "turn", "fork"), PREFILLED)
def test_a_prefill(stored, sent, kept, new, turn, fork):
    place = recognise(digests(stored), messages(sent))
    assert place == Recognised(kept, new, len(messages(sent)) - 1, turn, fork=fork)


@pytest.mark.parametrize(
    ("sent", "all_needed"), [("u1 t1", False), ("u1 a1 u2", True), ("", False)]
)
def test_new_turns_are_recognised_by_the_newest_messages(sent, all_needed):
    assert resent(messages(sent)) is all_needed


@given(st.integers(0, 5), st.sampled_from(["u9", "u3", "u2 u3", "t1 u2 u3", "u9 u3"]))
def test_the_newest_messages_tell_as_much_as_all(before, sent):
    stored = digests("u1 a1 u1 a1 u1 a1 t1 u2 u3")
    newest = stored[-min(len(messages(sent)), len(stored)) :]
    place = recognise(newest, messages(sent), before=before)
    whole = recognise(stored, messages(sent))
    assert place.kept - before - len(newest) == whole.kept - len(stored)
    assert (place.new, place.end, place.turn, place.fork) == (
        whole.new,
        whole.end,
        whole.turn,
        False,
    )


WORDS = st.lists(st.sampled_from(["u1", "u2", "u3", "a1", "a2", "t1", "s1"]), max_size=14).map(
    " ".join
)


@given(WORDS, WORDS)
@example("", "")
def test_what_is_kept_and_what_is_new_are_what_was_sent_with_more_before_it(stored, sent):
    there, came = digests(stored), digests(sent)
    place = recognise(there, messages(sent))
    after = there[: place.kept] + came[place.new : place.end]
    assert after[max(0, len(after) - place.end) :] == came[: place.end]
    assert 0 <= place.new <= place.end <= len(came)
    assert 0 <= place.kept <= len(there)
    assert place.fork == (place.kept < len(there))
    if not resent(messages(sent)):
        assert not place.fork


@given(WORDS, WORDS)
def test_the_turn_is_what_no_assistant_has_answered(stored, sent):
    place = recognise(digests(stored), messages(sent))
    came = messages(sent)
    turn = came[len(came) - place.turn :]
    assert [message["role"] for message in turn[:-1]].count("assistant") == 0
    before = came[: len(came) - place.turn]
    assert not before or before[-1]["role"] == "assistant"


TURNS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=8)


def conversation(turns):
    """As a client has it after so many turns, every question another one."""
    return [
        message
        for i, (ask, answer) in enumerate(turns)
        for message in (
            {"role": "user", "content": f"{ask}{i}"},
            {"role": "assistant", "content": answer},
        )
    ]


@given(TURNS)
def test_clients_that_send_all_and_clients_that_send_what_is_new_are_stored_alike(turns):
    whole, stored = conversation(turns), []
    for at in range(0, len(whole), 2):
        all_of_it = recognise(stored, whole[: at + 1])
        news = recognise(stored, whole[at : at + 1])
        assert all_of_it.kept == news.kept == at
        assert (all_of_it.new, news.new) == (at, 0)
        assert not all_of_it.fork
        stored += map(digest, whole[at : at + 2])


@given(TURNS, st.data())
def test_a_client_that_sends_its_newest_messages_goes_on_at_the_end(turns, data):
    whole = conversation(turns)
    stored = [digest(message) for message in whole]
    window = whole[data.draw(st.integers(0, len(whole) - 1)) :]
    asked = {"role": "user", "content": "new"}
    place = recognise(stored, [*window, asked])
    assert place == Recognised(len(stored), len(window), len(window) + 1, 1, fork=False)


@given(TURNS, st.data())
def test_an_edit_leaves_the_history_where_it_was_made(turns, data):
    whole = conversation(turns)
    stored = [digest(message) for message in whole]
    at = data.draw(st.integers(0, len(turns) - 1)) * 2
    place = recognise(stored, [*whole[:at], {"role": "user", "content": "edited"}])
    if at:
        assert place == Recognised(at, at, at + 1, 1, fork=True)
    else:  # nothing tells it from a new turn
        assert place == Recognised(len(stored), 0, 1, 1, fork=False)


def test_a_long_history_that_repeats_itself():
    stored = digests("u1 a1") * 2_000 + digests("t1 u1 a1")
    place = recognise(stored, [*messages("u1 a1") * 1_000, *messages("u2")])
    assert place == Recognised(2_000, 2_000, 2_001, 1, fork=True)

"""Turns where something else goes on as well: answers to go on from, peers, loads that are told of, calls that are called off, slots."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from corral.dialects.activity import Wanted
from corral.errors import Cancelled, SessionNotFound, ShuttingDown
from corral.gateway import answering, loading
from corral.gateway.relay import ClientLeft

ID = "x-corral-session"
KEPT = "sessions: {}\n"


@pytest.fixture
def converse(play, talk, world, tmp_path):
    """`converse(scene)` plays `scene(house, engine)` with one engine for all models."""

    def go(scene, *, more="", engine=None, database=True, impatient=False):
        talker = engine or talk.Talker()
        text = world.together("a", "b", more=more)
        if impatient:
            text = text.replace("a: {", "a: {timeouts: {idle: 0.05}, ")

        async def whole(house):
            await scene(house, talker)
            assert house.gateway.conversations._locks == {}

        kept = {"database": tmp_path / "corral.db"} if database else {}
        play(text, whole, connect=lambda model: talker, **kept)

    return go


async def texts(house, session="s"):
    records = await house.gateway.conversations.store.messages(session, 0, 100)
    return [record.message["content"] for record in records]


async def sessions(house):
    _, heads = await house.gateway.conversations.store.page(99, 0)
    return {head.session_id for head in heads}


# --- answers to go on from ---


def test_responses_are_kept_and_gone_on_from(converse, talk):
    async def scene(house, engine):
        first = await talk.respond(house, "one")
        await talk.respond(house, "two", "resp_1")
        asked = engine.chats[1]
        assert "previous_response_id" not in asked
        assert [item["role"] for item in asked["input"]] == ["user", "assistant", "user"]
        assert await texts(house, first.headers[ID]) == ["one", "hello", "two", "hello"]

    converse(scene, more=KEPT)


def test_an_older_answer_is_gone_on_from_in_a_session_of_its_own(converse, talk):
    async def scene(house, engine):
        first = await talk.respond(house, "one")
        await talk.respond(house, "two", "resp_1")
        other = await talk.respond(house, "other", "resp_1")
        assert other.headers[ID] != first.headers[ID]
        assert await texts(house, first.headers[ID]) == ["one", "hello", "two", "hello"]
        assert await texts(house, other.headers[ID]) == ["one", "hello", "other", "hello"]
        head = await house.gateway.conversations.store.head(other.headers[ID])
        assert (head.forked_from, head.forked_at) == (first.headers[ID], 2)
        again = await talk.respond(house, "more", "resp_3")
        assert again.headers[ID] == other.headers[ID]

    converse(scene, more=KEPT)


def test_a_fork_that_is_not_answered_is_none(converse, talk):
    async def scene(house, engine):
        await talk.respond(house, "one")
        await talk.respond(house, "two", "resp_1")
        engine.text = ""
        assert (await talk.respond(house, "other", "resp_1")).status == 404
        assert len(await sessions(house)) == 1

    converse(scene, more=KEPT)


def test_an_answer_that_moves_while_its_session_is_waited_for(converse, talk):
    async def scene(house, engine):
        await talk.respond(house, "one", session_id="s")
        await talk.respond(house, "two", "resp_1")
        engine.gate.clear()
        edited = (talk.user("one"), talk.assistant("hello"), talk.user("else"))
        first = await house.begin(talk.say(house, *edited))  # takes the second answer out of s
        await house.until(lambda: len(engine.chats) == 3)
        second = await house.begin(talk.respond(house, "three", "resp_2"))
        engine.gate.set()
        moved = (await first).json["corral"]["branched"]["kept_as"]
        heard = await second
        assert heard.headers["x-corral-session"] == moved
        assert await texts(house) == ["one", "hello", "else", "hello"]
        kept = ["one", "hello", "two", "hello", "three", "hello"]
        assert await texts(house, moved) == kept

    converse(scene, more=KEPT)


def test_an_answer_that_nobody_has_given(converse, talk):
    async def scene(house, engine):
        with pytest.raises(SessionNotFound, match="there is no answer resp_9"):
            await talk.respond(house, "two", "resp_9")

    converse(scene, more=KEPT)


def test_where_none_are_kept_the_engine_may_know_the_answer(converse, talk):
    async def scene(house, engine):
        heard = await talk.respond(house, "two", "resp_9")
        assert ID not in heard.headers
        assert engine.chats[0]["previous_response_id"] == "resp_9"
        named = await talk.respond(house, "one", headers=[(b"x-corral-session", b"s")])
        assert named.headers[ID] == "s"
        await talk.respond(house, "two", "resp_2")
        assert await texts(house) == ["one", "hello", "two", "hello"]

    converse(scene)


def test_what_is_not_to_be_stored_is_not(converse, talk):
    async def scene(house, engine):
        assert ID not in (await talk.respond(house, "one", store=False)).headers
        first = await talk.respond(house, "two")
        await talk.respond(house, "three", "resp_2", store=False)
        assert len(engine.chats[2]["input"]) == 3
        assert await sessions(house) == {first.headers[ID]}
        assert await texts(house, first.headers[ID]) == ["two", "hello"]

    converse(scene, more=KEPT)


def test_instructions_are_not_carried_over(converse, talk):
    async def scene(house, engine):
        await talk.respond(house, "one", instructions="be kind")
        await talk.respond(house, "two", "resp_1")
        assert engine.chats[0]["instructions"] == "be kind"
        assert not engine.chats[1].get("instructions")

    converse(scene, more=KEPT)


# --- other ways to be answered ---


def test_a_peer_that_is_down_passes_the_turn_on(converse, talk):
    async def scene(house, engine):
        await talk.say(house, talk.user("one"))
        heard = await talk.say(house, talk.user("two"), model="best")
        assert heard.headers["x-corral-model"] == "a"
        assert await texts(house) == ["one", "hello", "two", "hello"]

    more = (
        "peers: {away: {proxy: 'http://127.0.0.1:1', models: [m]}}\n"
        "selectors: {best: {strategy: spillover, targets: [m, a]}}\n"
    )
    converse(scene, more=more)


def test_a_client_that_is_told_of_the_load(play, world, talk, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "GRACE", 0.0)
    engine = talk.Talker()

    async def scene(house):
        house.obey()
        heard = talk.Heard()
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True, client=heard))
        await house.until(lambda: heard.messages)
        house.processes.ready("a")
        await turn
        assert heard.headers[ID] == "s"
        assert heard.body.endswith(talk.DONE)
        assert heard.over
        assert await texts(house) == ["one", "hello"]

    text = world.alone("a: {sendLoadingState: true}")
    play(text, scene, connect=lambda model: engine, database=tmp_path / "corral.db")


def test_filters_and_another_name_hold_for_turns_as_well(play, world, talk, tmp_path):
    engine = talk.Talker()

    async def scene(house):
        await talk.say(house, talk.user("one"), temperature=1)
        await talk.say(house, talk.user("two"), temperature=1)
        asked = engine.chats[1]
        assert (asked["model"], asked["top_k"], len(asked["messages"])) == ("real", 5, 3)
        assert not asked.keys() & {"temperature", "session_id"}

    text = world.alone(
        "a: {useModelName: real, filters: {stripParams: temperature, setParams: {top_k: 5}}}"
    )
    play(text, scene, connect=lambda model: engine, database=tmp_path / "corral.db")


# --- called off ---


@pytest.mark.parametrize(
    "why", [Cancelled("somebody has ended it"), ShuttingDown("corral is shutting down")]
)
def test_an_answer_that_is_called_off_in_the_middle(converse, talk, why):
    async def scene(house, engine):
        engine.text = "h" * 5000
        heard = talk.Heard()
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True, client=heard))
        await house.until(lambda: len(heard.messages) > 3)
        house.gateway.ledger.cancel(why)
        await turn
        assert heard.was_cut
        asked, answer = await texts(house)
        assert asked == "one"
        assert 0 < len(answer) < 5000

    converse(scene)


def test_a_plain_answer_that_is_called_off_is_an_error(converse, talk):
    async def scene(house, engine):
        engine.gate.clear()
        turn = await house.begin(talk.say(house, talk.user("one")))
        await house.until(lambda: engine.chats)
        house.gateway.ledger.cancel(Cancelled("somebody has ended it"))
        with pytest.raises(Cancelled):
            await turn
        assert await sessions(house) == set()

    converse(scene)


def test_a_client_that_leaves_while_its_turn_is_stored(converse, talk):
    async def scene(house, engine):
        store = house.gateway.conversations.store
        storing, go_on, append = asyncio.Event(), asyncio.Event(), store.append

        async def slow(*arguments):
            storing.set()
            await go_on.wait()
            return await append(*arguments)

        store.append = slow
        turn = await house.begin(talk.say(house, talk.user("one")))
        await storing.wait()
        turn.cancel()
        next_turn = await house.begin(talk.say(house, talk.user("two")))
        go_on.set()
        await asyncio.wait([turn])
        assert turn.cancelled()
        await next_turn
        assert [one["content"] for one in engine.chats[1]["messages"]] == ["one", "hello", "two"]

    converse(scene)


def test_a_reload_in_the_middle_of_a_turn(converse, talk, world):
    async def scene(house, engine):
        engine.gate.clear()
        turn = await house.begin(talk.say(house, talk.user("one")))
        await house.until(lambda: engine.chats)
        await house.reload(world.together("a", "b", more="sessions: {systemPrompt: be brief}\n"))
        engine.gate.set()
        assert (await turn).status == 200
        await talk.say(house, talk.user("two"))
        assert engine.chats[1]["messages"][0] == {"role": "system", "content": "be brief"}

    converse(scene)


# --- what is read of answers ---


def test_a_line_that_only_looks_like_the_end(converse, talk):
    async def scene(house, engine):
        events = [b"data: [DONE]ish\n\n", talk.event("he"), talk.event("llo"), talk.DONE]
        engine.reply = (talk.EVENTS, events)
        heard = await talk.say(house, talk.user("one"), stream=True)
        assert heard.body == b"".join(events)
        assert (await texts(house))[0] == "one"

    converse(scene)


def test_the_end_of_a_stream_waits_for_the_store_in_whatever_pieces_it_comes(converse, talk):
    async def scene(house, engine):
        store = house.gateway.conversations.store
        go_on, append, seen = asyncio.Event(), store.append, []

        async def slow(session_id, after, records, blobs, head):
            if records and records[-1].message["role"] == "assistant":
                seen.append(heard.body)
                await go_on.wait()
            return await append(session_id, after, records, blobs, head)

        store.append = slow
        heard = talk.Heard()
        engine.reply = (talk.EVENTS, [talk.event("hello"), b"data:", b"[DO", b"NE]\n", b"\n"])
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True, client=heard))
        await house.until(lambda: seen)
        assert seen == [talk.event("hello")]
        go_on.set()
        await turn
        assert heard.body == talk.event("hello") + b"data:[DONE]\n\n"
        assert await texts(house) == ["one", "hello"]

    converse(scene)


class Gone:
    """A client whose connection is gone, or takes nothing, when the end of its answer is sent."""

    def __init__(self, talk, *, slow):
        self.heard, self.slow, self.was_cut = talk.Heard(), slow, False

    @property
    def paused(self):
        return self.slow and bool(self.heard.messages)

    def finished(self):
        pass

    def cut(self):
        self.was_cut = True

    async def send(self, message):
        self.heard.messages.append(message)
        if not message.get("more_body", message["type"] == "http.response.start"):
            await asyncio.sleep(self.slow * 60)
            raise ConnectionResetError


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_is_gone_when_its_answer_is_sent(converse, talk, stream):
    async def scene(house, engine):
        client = Gone(talk, slow=False)
        with pytest.raises(ClientLeft):
            await talk.say(house, talk.user("one"), client=client, stream=stream)
        assert await texts(house) == ["one", "hello"]
        await talk.say(house, talk.user("two"))  # nobody waits for its session

    converse(scene)


def test_a_client_that_takes_nothing_of_its_plain_answer_is_cut(converse, talk):
    async def scene(house, engine):
        client = Gone(talk, slow=True)
        with pytest.raises(ClientLeft):
            await talk.say(house, talk.user("one"), client=client)
        assert client.was_cut
        assert await texts(house) == ["one", "hello"]

    converse(scene, impatient=True)


def test_the_end_in_one_piece_with_what_is_before_it(converse, talk):
    async def scene(house, engine):
        engine.reply = (talk.EVENTS, [talk.event("hello") + talk.DONE])
        heard = await talk.say(house, talk.user("one"), stream=True)
        pieces = [message["body"] for message in heard.messages[1:]]
        assert pieces == [talk.event("hello"), talk.DONE, b""]

    converse(scene)


def test_a_plain_answer_that_is_too_long_to_hold_passes_and_is_stored(converse, talk, monkeypatch):
    monkeypatch.setattr(answering, "LONGEST", 10)

    async def scene(house, engine):
        text = talk.whole("hello")
        engine.reply = (talk.JSON, [text[:20], text[20:]])
        heard = await talk.say(house, talk.user("one"))
        assert heard.body == text
        assert heard.over
        assert await texts(house) == ["one", "hello"]

    converse(scene)


@pytest.mark.parametrize("status", [200, 500])
def test_a_session_that_could_not_be_read_in_time_loses_nothing(converse, talk, status):
    async def scene(house, engine):
        store = house.gateway.conversations.store
        await talk.say(house, talk.user("one"))
        head = await store.head("s")
        await store.patch(replace(head, metadata={"title": "T"}))

        async def silent(session_id):
            return None

        reads, store.head, engine.status = store.head, silent, status
        await talk.say(house, talk.user("two"))
        store.head = reads
        added = ["two", "hello"] if status == 200 else []
        assert await texts(house) == ["one", "hello", *added]
        assert (await store.head("s")).metadata == {"title": "T"}

    converse(scene)


def test_a_defect_in_storing_does_not_cost_the_answer(converse, talk, caplog):
    async def scene(house, engine):
        async def fails(*_):
            raise RuntimeError("a defect")

        house.gateway.conversations.store.append = fails
        heard = await talk.say(house, talk.user("one"))
        assert heard.headers["x-corral-session-stored"] == "no"
        assert heard.json["choices"][0]["message"]["content"] == "hello"
        assert "its turn is not stored" in caplog.text

    converse(scene)


# --- books and slots ---


def test_the_books_say_which_session_it_was(converse, talk):
    async def scene(house, engine):
        await talk.say(house, talk.user("one"))
        await talk.say(house, talk.user("one"), stream=True)
        _, rows = await house.gateway.activity.page(Wanted())
        assert [
            '"session_id": "s"' in row[-1] or '"session_id":"s"' in row[-1] for row in rows
        ] == [True, True]

    converse(scene)


def test_a_turn_takes_its_sessions_slot_and_leaves_it(converse, talk):
    class Parking:
        def __init__(self):
            self.told = []

        async def seat(self, session_id, model, upstream, api):
            self.told.append((session_id, model, api))
            return SimpleNamespace(slot=3, left=self.told.append)

    async def scene(house, engine):
        parking = house.gateway.conversations.parking = Parking()
        await talk.say(house, talk.user("one"))
        assert engine.chats[0]["id_slot"] == 3
        engine.breaks = True
        await talk.say(house, talk.user("two"), stream=True)
        assert parking.told[0] == ("s", "a", "chat")
        assert parking.told[1].input_tokens == 7
        assert parking.told[3] is None

    converse(scene, engine=talk.Talker(count=lambda body: 7))


def test_a_cut_off_call_is_not_asked_again(converse, talk):
    async def scene(house, engine):
        begun = {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a'},
        }
        delta = {"choices": [{"index": 0, "delta": {"content": "let me", "tool_calls": [begun]}}]}
        engine.reply = (talk.EVENTS, [b"data: " + json.dumps(delta).encode() + b"\n\n"])
        await talk.say(house, talk.user("one"), stream=True)
        engine.reply = None
        await talk.say(house, talk.user("two"))
        assert engine.chats[1]["messages"] == [
            talk.user("one"),
            talk.assistant("let me"),
            talk.user("two"),
        ]

    converse(scene)

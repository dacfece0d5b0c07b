"""Turns of conversations, through a gateway with scripted engines: what goes out, what comes back, what is stored."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.errors import (
    BodyTooLarge,
    ContextTooLong,
    InvalidRequest,
    SessionBusy,
    UpstreamUnreachable,
)

ID = "x-corral-session"


@pytest.fixture
def converse(play, talk, world, tmp_path):
    """`converse(scene, more=config text)` plays `scene(house, engine)`; `engine` answers as model `a`, and as `b`."""

    def go(scene, *, models=("a", "b"), more="", engine=None, **options):
        talker = engine or talk.Talker()

        async def whole(house):
            await scene(house, talker)
            assert house.gateway.conversations._locks == {}

        text = world.together(*models, more=more)
        play(text, whole, connect=lambda model: talker, database=tmp_path / "corral.db", **options)

    return go


async def stored(house, session="s"):
    return await house.gateway.conversations.store.messages(session, 0, 100)


async def said(house, session="s"):
    return [
        (record.message["role"], record.message["content"])
        for record in await stored(house, session)
    ]


# --- a conversation goes on ---


def test_a_client_that_sends_only_its_new_message_is_understood(converse, talk):
    async def scene(house, engine):
        await talk.say(house, talk.user("one"))
        heard = await talk.say(house, talk.user("two"), model="b")
        assert [message["content"] for message in engine.chats[1]["messages"]] == [
            "one",
            "hello",
            "two",
        ]
        assert heard.headers[ID] == "s"
        assert heard.json["corral"] == {
            "session_id": "s",
            "active_model": "b",
            "prompt_messages": 3,
            "prompt_budget": {"cost": 3, "unit": "messages", "dropped_messages": 0},
        }
        assert await said(house) == [
            ("user", "one"),
            ("assistant", "hello"),
            ("user", "two"),
            ("assistant", "hello"),
        ]
        assert [record.model for record in await stored(house)] == ["", "a", "", "b"]

    converse(scene)


def test_the_answer_is_sent_when_it_is_stored(converse, talk):
    async def scene(house, engine):
        heard, seen = talk.Heard(), []

        class Slow(talk.Heard):
            paused = True  # `send` suspends

            async def send(self, message):
                seen.append(len(await stored(house)))
                await heard.send(message)

        await talk.say(house, talk.user("one"), client=Slow())
        assert seen == [2, 2]
        assert heard.json["choices"][0]["message"]["content"] == "hello"
        await talk.say(house, talk.user("two"), client=Slow(), stream=True)
        assert seen[-2:] == [4, 4]
        assert set(seen[2:-2]) <= {2, 3}

    converse(scene)


def test_a_stream_passes_as_it_comes_and_its_end_waits_for_the_store(converse, talk):
    async def scene(house, engine):
        heard = await talk.say(house, talk.user("one"), stream=True)
        pieces = [message["body"] for message in heard.messages[1:]]
        assert pieces == [*map(talk.event, "hello"), talk.DONE, b""]
        assert heard.headers[ID] == "s"
        assert heard.over
        assert await said(house) == [("user", "one"), ("assistant", "hello")]
        assert not (await stored(house))[-1].partial

    converse(scene)


def test_an_engine_that_keeps_a_whole_stream_open_keeps_nobody_waiting(converse, talk):
    async def scene(house, engine):
        engine.end.clear()
        heard = talk.Heard()
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True, client=heard))
        await house.until(lambda: heard.body.endswith(talk.DONE))
        assert await said(house) == [("user", "one"), ("assistant", "hello")]
        engine.end.set()
        await turn
        assert heard.over

    converse(scene)


def test_who_names_no_session_is_left_alone(converse, talk):
    async def scene(house, engine):
        heard = await talk.say(house, talk.user("one"), session=None)
        assert ID not in heard.headers
        assert heard.body == talk.whole("hello")
        assert engine.headers[0][b"accept-encoding"] == b"gzip"
        assert engine.paths == ["/v1/chat/completions"]
        assert await house.gateway.conversations.store.page(10, 0) == (0, [])

    converse(scene)


@pytest.mark.parametrize("name", [b"x-corral-session", b"x-hotmodel-session"])
def test_a_header_names_the_session(converse, talk, name):
    async def scene(house, engine):
        heard = await talk.say(
            house, talk.user("one"), session=None, headers=[(name, b"caf\xc3\xa9")]
        )
        assert heard.messages[0]["headers"][-2:-1] == [(b"x-corral-session", b"caf\xc3\xa9")]
        assert name not in engine.headers[0]
        assert b"accept-encoding" not in engine.headers[0]
        assert await said(house, "café") == [("user", "one"), ("assistant", "hello")]

    converse(scene)


def test_always_makes_a_session(converse, talk):
    async def scene(house, engine):
        first = await talk.say(house, talk.user("one"), session=None)
        other = await talk.say(house, talk.user("two"), session=None)
        assert first.headers[ID] != other.headers[ID]
        await talk.say(house, talk.user("three"), session=first.headers[ID])
        assert len(await stored(house, first.headers[ID])) == 4

    converse(scene, more="sessions: {mode: always}\n")


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb", "a\u0000b", "a\n", ".", " .. "])
def test_a_session_id_that_is_none(converse, talk, name):
    async def scene(house, engine):
        with pytest.raises(InvalidRequest, match="session's id"):
            await talk.say(house, talk.user("one"), session=None, session_id=name)
        assert engine.chats == []

    converse(scene)


def test_space_around_an_id_is_none_of_it(converse, talk):
    async def scene(house, engine):
        heard = await talk.say(house, talk.user("one"), session=None, session_id=" s ")
        assert heard.headers[ID] == "s"
        assert len(await stored(house)) == 2

    converse(scene)


def test_null_names_nothing_and_a_number_is_none(converse, talk):
    async def scene(house, engine):
        assert (
            ID
            not in (await talk.say(house, talk.user("one"), session=None, session_id=None)).headers
        )
        with pytest.raises(InvalidRequest, match="`session_id` must be text"):
            await talk.say(house, talk.user("one"), session=None, session_id=5)

    converse(scene)


def test_a_message_that_is_wrong_is_named_by_its_index(converse, talk):
    async def scene(house, engine):
        with pytest.raises(InvalidRequest, match=r"messages\[1\]"):
            await talk.say(house, talk.user("one"), {"content": "no role"})
        assert engine.chats == []

    converse(scene)


# --- what is sent again ---


def test_a_history_that_is_sent_again_is_not_stored_twice(converse, talk):
    async def scene(house, engine):
        await talk.say(house, talk.user("one"))
        await talk.say(house, talk.user("one"), talk.assistant("hello"), talk.user("two"))
        assert [one["content"] for one in engine.chats[1]["messages"]] == ["one", "hello", "two"]
        assert len(await stored(house)) == 4

    converse(scene)


def test_a_history_that_diverges_goes_on_and_the_old_tail_stays(converse, talk):
    async def scene(house, engine):
        for text in ("one", "two", "three"):
            await talk.say(house, talk.user(text))
        heard = await talk.say(house, talk.user("one"), talk.assistant("hello"), talk.user("other"))
        branched = heard.json["corral"]["branched"]
        assert branched["after"] == 2
        assert [text for _, text in await said(house)] == ["one", "hello", "other", "hello"]
        kept = await said(house, branched["kept_as"])
        assert [text for _, text in kept] == ["one", "hello", "two", "hello", "three", "hello"]

    converse(scene)


def test_a_divergence_that_is_not_answered_changes_nothing(converse, talk):
    async def scene(house, engine):
        for text in ("one", "two"):
            await talk.say(house, talk.user(text))
        engine.status = 500
        await talk.say(house, talk.user("one"), talk.assistant("hello"), talk.user("other"))
        assert [text for _, text in await said(house)] == ["one", "hello", "two", "hello"]

    converse(scene)


def test_the_beginning_of_an_answer_is_stored_with_it(converse, talk):
    async def scene(house, engine):
        await talk.say(house, talk.user("one"), talk.assistant("well, "))
        assert await said(house) == [("user", "one"), ("assistant", "well, hello")]

    converse(scene)


# --- one at a time ---


def test_the_second_turn_of_a_session_waits_for_the_first(converse, talk):
    async def scene(house, engine):
        engine.gate.clear()
        first = await house.begin(talk.say(house, talk.user("one")))
        await house.until(lambda: engine.chats)
        others = [await house.begin(talk.say(house, talk.user(text))) for text in ("two", "three")]
        elsewhere = await house.begin(talk.say(house, talk.user("x"), session="t"))
        await house.until(lambda: len(engine.chats) == 2)
        engine.gate.set()
        await asyncio.gather(first, *others, elsewhere)
        asked = [text for role, text in await said(house) if role == "user"]
        assert asked == ["one", "two", "three"]

    converse(scene)


def test_who_waits_too_long_is_told_so(converse, talk):
    async def scene(house, engine):
        engine.gate.clear()
        first = await house.begin(talk.say(house, talk.user("one")))
        await house.until(lambda: engine.chats)
        with pytest.raises(SessionBusy, match="session s: another turn"):
            await talk.say(house, talk.user("two"))
        engine.gate.set()
        await first
        assert len(await stored(house)) == 2

    converse(scene, more="routing: {scheduler: {settings: {fair: {queueTimeout: 0.05}}}}\n")


def test_who_leaves_while_it_waits_leaves_nothing(converse, talk):
    async def scene(house, engine):
        engine.gate.clear()
        first = await house.begin(talk.say(house, talk.user("one")))
        await house.until(lambda: engine.chats)
        second = await house.begin(talk.say(house, talk.user("two")))
        second.cancel()
        await asyncio.wait([second])
        engine.gate.set()
        await first
        assert len(await stored(house)) == 2

    converse(scene)


# --- cut off ---


@pytest.mark.parametrize("keeps", [True, False])
def test_an_engine_that_dies_in_its_answer(converse, talk, keeps):
    async def scene(house, engine):
        engine.breaks = True
        heard = await talk.say(house, talk.user("one"), stream=True)
        assert heard.was_cut
        assert not heard.over
        kept = [("user", "one"), ("assistant", "hello")] if keeps else []
        assert await said(house) == kept
        assert [record.partial for record in await stored(house)] == [False, True][: len(kept)]
        engine.breaks = False
        await talk.say(house, talk.user("two"))
        assert len(engine.chats[1]["messages"]) == len(kept) + 1

    converse(scene, more="" if keeps else "sessions: {onAbort: drop}\n")


def test_a_stream_that_just_ends_is_not_stored_as_whole(converse, talk):
    async def scene(house, engine):
        engine.done = False
        heard = await talk.say(house, talk.user("one"), stream=True)
        assert heard.over
        assert [record.partial for record in await stored(house)] == [False, True]

    converse(scene)


def test_a_client_that_leaves_in_the_middle(converse, talk):
    async def scene(house, engine):
        engine.text = "h" * 5000
        heard = talk.Heard()
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True, client=heard))
        await house.until(lambda: len(heard.messages) > 3)
        turn.cancel()
        await asyncio.wait([turn])
        assert turn.cancelled()
        (_, asked), (_, answer) = await said(house)
        assert asked == "one"
        assert 0 < len(answer) < 5000

    converse(scene)


def test_a_client_that_leaves_before_the_first_byte_leaves_nothing(converse, talk):
    async def scene(house, engine):
        engine.gate.clear()
        turn = await house.begin(talk.say(house, talk.user("one"), stream=True))
        await house.until(lambda: engine.chats)
        turn.cancel()
        await asyncio.wait([turn])
        assert await house.gateway.conversations.store.head("s") is None

    converse(scene)


def test_a_question_that_a_stream_did_not_answer_is_asked_with_the_next(converse, talk):
    async def scene(house, engine):
        engine.reply = (talk.EVENTS, [b'data: {"error": {"message": "no"}}\n\n'])
        await talk.say(house, talk.user("one"), stream=True)
        engine.reply = None
        await talk.say(house, talk.user("two"))
        assert engine.chats[-1]["messages"] == [talk.user("one\n\ntwo")]
        assert [record.message["role"] for record in await stored(house)] == [
            "user",
            "user",
            "assistant",
        ]

    converse(scene)


def test_a_plain_answer_that_breaks_is_an_error(converse, talk):
    async def scene(house, engine):
        engine.breaks = True
        with pytest.raises(UpstreamUnreachable):
            await talk.say(house, talk.user("one"))
        assert await house.gateway.conversations.store.head("s") is None

    converse(scene)


def test_another_status_passes_and_nothing_is_stored(converse, talk):
    async def scene(house, engine):
        engine.status = 400
        heard = await talk.say(house, talk.user("one"))
        assert (heard.status, heard.body) == (400, talk.whole("hello"))
        assert heard.headers[ID] == "s"
        assert await house.gateway.conversations.store.head("s") is None

    converse(scene)


@pytest.mark.parametrize(
    "reply",
    [
        ([(b"content-type", b"text/plain"), (b"content-length", b"2")], [b"hi"]),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"br")], [b"????"]),
        ([(b"content-type", b"application/json")], [b"[1]"]),
    ],
)
def test_an_answer_of_another_kind_passes(converse, talk, reply):
    async def scene(house, engine):
        engine.reply = reply
        heard = await talk.say(house, talk.user("one"))
        assert (heard.status, heard.body, heard.over) == (200, b"".join(reply[1]), True)
        assert await stored(house) == []

    converse(scene)


# --- what is kept of messages ---


def test_everything_of_a_message_is_kept(converse, talk):
    async def scene(house, engine):
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        engine.reply = (talk.JSON, [talk.whole(None, tool_calls=[call], reasoning_content="hm")])
        picture = "data:image/png;base64," + "iVBORw0K" * 200
        parts = [
            {"type": "text", "text": "¿qué? 🐎"},
            {"type": "image_url", "image_url": {"url": picture}},
        ]
        await talk.say(house, {"role": "user", "content": parts, "name": "Ann"})
        engine.reply = None
        await talk.say(house, {"role": "tool", "tool_call_id": "c1", "content": ""})
        asked, answer, result = engine.chats[1]["messages"]
        assert asked == {"role": "user", "content": parts, "name": "Ann"}
        assert answer["tool_calls"] == [call]
        assert result == {"role": "tool", "tool_call_id": "c1", "content": ""}
        kept = (await stored(house))[0].message
        assert picture not in json.dumps(kept)

    converse(scene)


def test_of_several_answers_the_first_is_kept_and_that_is_said(converse, talk):
    async def scene(house, engine):
        heard = await talk.say(house, talk.user("one"), n=2)
        assert heard.json["corral"]["kept_choice"] == {"index": 0, "of": 2}

    converse(scene)


def test_the_clients_system_prompt_is_kept_and_corrals_gives_way(converse, talk):
    async def scene(house, engine):
        system = {"role": "system", "content": "be kind"}
        await talk.say(house, talk.user("one"))
        await talk.say(house, system, talk.user("two"))
        await talk.say(house, talk.user("three"))
        leading = [chat["messages"][0]["content"] for chat in engine.chats]
        assert leading == ["be brief", "be kind", "be kind"]
        assert len(await stored(house)) == 6

    converse(scene, more="sessions: {systemPrompt: be brief}\n")


def test_hotmodels_own_words(converse, talk):
    async def scene(house, engine):
        heard = await talk.say(house, talk.user("one"))
        assert heard.json["hotmodel"] == heard.json["corral"]

    def hotmodel(house, engine):
        object.__setattr__(house.gateway.config, "format", "hotmodel")
        return scene(house, engine)

    converse(hotmodel)


# --- budgets ---


def test_history_is_dropped_to_fit_and_stays_stored(converse, talk):
    async def scene(house, engine):
        for text in ("one", "two", "three"):
            heard = await talk.say(house, talk.user(text))
        assert [one["content"] for one in engine.chats[2]["messages"]] == ["two", "hello", "three"]
        assert heard.json["corral"]["prompt_budget"] == {
            "cost": 3,
            "unit": "messages",
            "dropped_messages": 2,
        }
        assert len(await stored(house)) == 6

    converse(scene, more="sessions: {maxMessages: 4}\n")


def test_the_engines_context_is_a_limit_and_it_counts(converse, talk):
    def count(body):
        return sum(len(message["content"]) for message in body["messages"])

    async def scene(house, engine):
        for text in ("a" * 600, "b" * 600, "c" * 600):
            heard = await talk.say(house, talk.user(text))
        budget = heard.json["corral"]["prompt_budget"]
        assert (budget["unit"], budget["dropped_messages"]) == ("tokens", 2)
        assert engine.paths.count("/props") == 1
        with pytest.raises(ContextTooLong, match="the context of a has 2000 tokens"):
            await talk.say(house, talk.user("d" * 2001))
        assert len(await stored(house)) == 6

    converse(scene, engine=talk.Talker(context=2000, count=count))


def test_an_engine_that_cannot_count_is_not_asked_again(converse, talk):
    async def scene(house, engine):
        for _ in range(3):
            heard = await talk.say(house, talk.user("a" * 600))
        assert heard.json["corral"]["prompt_budget"]["unit"] == "estimated_tokens"
        asked = [path for path in engine.paths if "chat/completions" not in path or "input" in path]
        assert asked == ["/props", "/v1/chat/completions/input_tokens", "/apply-template"]

    converse(scene, more="sessions: {maxPromptTokens: 500}\n")


# --- the store in trouble ---


def test_a_store_that_keeps_nothing_is_told_of_and_the_answer_comes(play, world, talk):
    async def scene(house):
        talker = talk.Talker()
        house.processes._connect = lambda model: talker
        for stream in (False, True):
            heard = await talk.say(house, talk.user("one"), stream=stream)
            assert heard.headers["x-corral-session-stored"] == "no"
            assert heard.over
        assert len(talker.chats[1]["messages"]) == 3

    play(world.alone("a"), scene)


def test_a_body_that_is_too_long_to_keep(converse, talk, monkeypatch):
    class Endless:
        size = 2**40

        async def chunks(self):
            yield b""

    async def scene(house, engine):
        with pytest.raises(BodyTooLarge):
            async with house.gateway.conversations.turn(
                house.gateway.conversations.wanted(talk.CHAT, talk.asked("s"), []),
                Endless(),
                talk.request().exchange,
                None,
                None,
            ):
                pass

    converse(scene)

"""What the event stream says while models come and go."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from corral.dialects import endpoints
from corral.dialects.activity import Wanted
from corral.errors import LoadFailed
from corral.gateway import activity as activity_module
from corral.gateway import inflight as inflight_module
from corral.gateway import news as news_module
from corral.gateway.exchange import Exchange
from corral.gateway.news import News
from corral.wire.sse import Parser


class Listener:
    """Reads a stream of events."""

    def __init__(self, reader):
        self._reader = reader
        self._parser = Parser()
        self.heard = []

    async def next(self):
        """(type, data) of the next event."""
        while not self.heard:
            for event in self._parser.feed(await anext(self._reader)):
                envelope = json.loads(event.data)
                self.heard.append((envelope["type"], json.loads(envelope["data"])))
        return self.heard.pop(0)

    async def until(self, kind, holds=lambda data: True):
        """The data of the first event of this kind for which it holds."""
        while True:
            found, data = await self.next()
            if found == kind and holds(data):
                return data


def news_of(house):
    return News(house.gateway)


@contextlib.asynccontextmanager
async def listening(news):
    async with news.reader() as reader:
        yield Listener(reader)


def states(data):
    return {one["id"]: one["state"] for one in data}


def test_a_reader_first_gets_the_logs_so_far_and_how_everything_is(play, alone):
    async def scene(house):
        await house.use("a")
        house.journal.write(b"one\ntwo\n")
        house.processes.log("b").write(b"loading\n")
        async with listening(news_of(house)) as listener:
            first = await listener.next()
            assert first == ("logData", {"source": "proxy", "data": "one\ntwo\n"})
            output = {"source": "upstream", "data": "loading\n"}
            assert await listener.next() == ("logData", output)
            kind, data = await listener.next()
            assert (kind, states(data)) == ("modelStatus", {"a": "ready", "b": "stopped"})
            ui = {"activity": {"session_id": ["X-Session-ID", "X-Litellm-Session-Id"]}}
            assert await listener.next() == ("uiConfig", ui)
            assert await listener.next() == ("profileChanged", {"active": None})
            none = {"operation": "snapshot", "requests": []}
            assert await listener.next() == ("inflight", none)
            house.processes.log("a").write(b"more\n")
            output = {"source": "upstream", "data": "more\n"}
            assert await listener.next() == ("logData", output)

    play(alone("b", "a"), scene)


def test_the_log_goes_on_without_a_gap_or_a_repetition(play, alone):
    async def scene(house):
        news = news_of(house)
        for n in range(5):
            house.journal.write(b"%d " % n)
        async with listening(news) as listener:
            for n in range(5, 10):
                house.journal.write(b"%d " % n)
            text = (await listener.until("logData"))["data"]
            while len(text) < 20:
                text += (await listener.until("logData"))["data"]
            assert text == "0 1 2 3 4 5 6 7 8 9 "

    play(alone("a"), scene)


def test_a_load_is_told_with_its_seconds_and_its_states(play, alone):
    async def scene(house):
        house.obey()
        async with listening(news_of(house)) as listener:
            waiting = await house.begin(house.use("a"))
            await listener.until("modelStatus", lambda data: states(data) == {"a": "starting"})
            house.clock.time += 2.5
            house.processes.ready("a")
            assert await listener.until("load") == {"model": "a", "seconds": 2.5}
            await listener.until("modelStatus", lambda data: states(data) == {"a": "ready"})
            await waiting

    play(alone("a"), scene)


def test_an_eviction_is_told_with_its_reason(play, alone):
    async def scene(house):
        await house.use("a")
        async with listening(news_of(house)) as listener:
            await house.use("b")
            said = await listener.until("eviction")
            assert (said["model"], said["for"]) == ("a", "b")
            assert "makes room for b" in said["why"]
            assert house.engine.last_stop("a").why == said["why"]
            assert abs(house.engine.last_stop("a").at - said["at"]) < 1

    play(alone("a", "b"), scene)


def test_an_unload_is_for_nobody(play, alone):
    async def scene(house):
        await house.use("a")
        async with listening(news_of(house)) as listener:
            await house.engine.unload(["a"])
            said = await listener.until("eviction")
            assert (said["for"], said["why"]) == (None, "asked to unload")

    play(alone("a"), scene)


def test_a_load_that_fails_says_why_and_a_crash_is_no_load(play, alone):
    async def scene(house):
        house.obey()
        async with listening(news_of(house)) as listener:
            waiting = await house.begin(house.use("a"))
            await house.loading("a")
            house.processes.exit("a", LoadFailed("a exited with 7"))
            assert await listener.until("load") == {"model": "a", "error": "a exited with 7"}
            with contextlib.suppress(LoadFailed):
                await waiting
            house.obey("a", "b")
            await house.use("b")
            assert (await listener.until("load"))["model"] == "b"
            await listener.until("modelStatus", lambda data: states(data)["b"] == "ready")
            house.processes.exit("b", LoadFailed("b crashed"))
            await listener.until("modelStatus", lambda data: states(data)["b"] == "stopped")
            assert [kind for kind, _ in listener.heard if kind == "load"] == []

    play(alone("a", "b"), scene)


def test_a_model_that_could_not_start_is_a_failed_load(play, alone):
    async def scene(house):
        house.processes.problems["a"] = LoadFailed("no such program")
        async with listening(news_of(house)) as listener:
            with pytest.raises(LoadFailed):
                await house.use("a")
            assert await listener.until("load") == {"model": "a", "error": "no such program"}

    play(alone("a"), scene)


def test_states_are_told_together_and_only_when_they_changed(play, alone, monkeypatch):
    monkeypatch.setattr(news_module, "COALESCED", 0)

    async def scene(house):
        await house.use("a")
        async with listening(news_of(house)) as listener:
            await listener.until("inflight")
            for _ in range(50):
                await house.use("a")
            house.journal.write(b"the end\n")
            assert await listener.next() == ("logData", {"source": "proxy", "data": "the end\n"})

    play(alone("a"), scene)


def test_the_stream_ends_with_corrals_log(play, alone):
    async def scene(house):
        async with news_of(house).reader() as reader:
            house.journal.write(b"last words\n")
            house.journal.close()
            async with asyncio.timeout(5):
                pieces = [piece async for piece in reader]
            assert b"last words" in pieces[-1]

    play(alone("a"), scene)


def test_a_slow_reader_is_told_and_gets_the_states_of_now(play, alone):
    async def scene(house):
        await house.use("a")
        async with news_of(house).reader() as reader:
            listener = Listener(reader)
            for _ in range(30):
                house.journal.write(b"x" * 100_000)
                await asyncio.sleep(0)
            await house.engine.unload(["a"])
            await listener.until("logData", lambda data: "left out" in data["data"])
            kind, data = await listener.next()
            assert (kind, states(data)) == ("modelStatus", {"a": "stopped"})

    play(alone("a"), scene)


def test_readers_come_and_go_and_nothing_is_left(play, alone):
    async def scene(house):
        news = news_of(house)
        for _ in range(20):
            async with listening(news) as one, listening(news) as other:
                await house.use("a")
                await house.engine.unload(["a"])
                for listener in (one, other):
                    assert (await listener.until("load"))["model"] == "a"
        assert len(news._broadcast) == 0

    play(alone("a"), scene)


def test_requests_and_rows_are_told_of(play, alone, monkeypatch):
    monkeypatch.setattr(inflight_module, "EVERY", 0)
    monkeypatch.setattr(activity_module, "EVERY", 0)

    async def scene(house):
        async with listening(news_of(house)) as listener:
            await listener.until("inflight")
            one = house.gateway.ledger.open(an_exchange())
            told = await listener.until("inflight")
            assert (told["operation"], told["request"]["id"]) == ("upsert", "1")
            one.head(200, [(b"content-type", b"application/json")])
            house.gateway.ledger.close(one)
            assert await listener.until("inflight", is_end) == {"operation": "remove", "id": "1"}
            assert await listener.until("activity") == {"id": 1}

    play(alone("a"), scene)


def is_end(data):
    return data["operation"] == "remove"


def an_exchange():
    endpoint = endpoints.find("POST", "/v1/completions")
    one = Exchange("POST", "/v1/completions", endpoint, "r", "", "", [])
    one.model = "a"
    return one


def test_another_profile_is_told_and_a_reload_tells_all_anew(play, alone):
    profile = "profiles: {work: {pins: {x: a}}}\n"

    async def scene(house):
        async with listening(news_of(house)) as listener:
            await listener.until("inflight")
            house.gateway.routing.activate("work")
            assert await listener.until("profileChanged") == {"active": "work"}
            await house.reload(alone("a", "b", more="ui: {activity: {session_id: [X-Mine]}}\n"))
            ui = await listener.until("uiConfig")
            assert ui == {"activity": {"session_id": ["X-Mine"]}}
            await listener.until("modelStatus", lambda data: set(states(data)) == {"a", "b"})

    play(alone("a", more=profile), scene)


def test_while_nobody_reads_nothing_is_written(play, alone, monkeypatch):
    async def scene(house):
        news = news_of(house)
        monkeypatch.setattr(news_module.messages, "activity", None)
        monkeypatch.setattr(news_module.messages, "in_flight_changed", None)
        for _ in range(3):
            house.gateway.ledger.close(house.gateway.ledger.open(an_exchange()))
        assert (await house.gateway.activity.page(Wanted()))[0] == 3
        await house.until(lambda: "0 rows waiting" in repr(house.gateway.activity))
        assert news._in_flight._timer is None

    play(alone("a"), scene)


def test_a_switch_is_told_when_it_begins_and_ends(play, alone):
    async def scene(house):
        news = news_of(house)
        switch = house.gateway.switcher.switch
        await house.use("a")
        async with listening(news) as listener:
            await switch("b")
            begun = {"model": "b", "previous": "a"}
            assert await listener.until("switch") == begun
            told = await listener.until("switch")
            assert told.pop("seconds") >= 0
            assert told == begun
            house.processes.problems["a"] = LoadFailed("a: no such file")
            with pytest.raises(LoadFailed):
                await switch("a")
            assert await listener.until("switch") == {"model": "a", "previous": "b"}
            failed = await listener.until("switch")
            assert "no such file" in failed["error"]

    play(alone("a", "b"), scene)


def test_who_comes_in_the_middle_of_a_switch_hears_of_it(play, alone):
    async def scene(house):
        news = news_of(house)
        house.obey()
        task = await house.begin(house.gateway.switcher.switch("a"))
        await house.loading("a")
        async with listening(news) as listener:
            assert await listener.until("switch") == {"model": "a", "previous": None}
        house.processes.ready("a")
        await task

    play(alone("a", "b"), scene)

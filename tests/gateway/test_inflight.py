"""Which requests are under way, as those who watch are told."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.dialects import endpoints
from corral.gateway import inflight as inflight_module
from corral.gateway.exchange import Exchange, Ledger
from corral.gateway.inflight import InFlight, listed
from corral.wire.sse import Parser

JSON = [(b"content-type", b"application/json")]
SECRETS = [(b"authorization", b"Bearer hunter2"), (b"x-session-id", b"s1")]
BOUND = 30


class Watcher:
    """A ledger, and who is told of it while there are `watchers`."""

    def __init__(self, *, watching=True):
        self.ledger = Ledger()
        self.watchers = {"somebody"} if watching else set()
        self.told = []
        self.news = asyncio.Event()
        self.in_flight = InFlight(self.ledger, self._hear, self.watchers)

    def _hear(self, message):
        assert self.watchers
        self.told += read(message)
        self.news.set()

    def open(self, model="m", path="/v1/completions"):
        endpoint = endpoints.find("POST", path)
        one = Exchange("POST", path, endpoint, "r", "key 1", "10.0.0.7", SECRETS)
        one.model = model
        return self.ledger.open(one)

    async def next(self, count=1):
        """What is told, until it is so much."""
        async with asyncio.timeout(BOUND):
            while len(self.told) < count:
                self.news.clear()
                await self.news.wait()
        told, self.told = self.told, []
        return told


def read(message):
    envelopes = [json.loads(event.data) for event in Parser().feed(message)]
    assert {one["type"] for one in envelopes} == {"inflight"}
    return [json.loads(one["data"]) for one in envelopes]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(inflight_module, "EVERY", 0.001)


def test_a_request_is_told_with_what_is_known_and_without_its_secrets(run):
    async def scene():
        watcher = Watcher()
        one = watcher.open()
        one.metadata = {"selector": "s"}
        (told,) = await watcher.next()
        request = told["request"]
        assert told["operation"] == "upsert"
        assert request.pop("timestamp").endswith("Z")
        assert request.pop("elapsed_ms") >= 0
        assert request == {
            "id": "1",
            "model": "m",
            "req_path": "/v1/completions",
            "method": "POST",
            "req_headers": {"authorization": "[REDACTED]", "x-session-id": "s1"},
            "remote_ip": "10.0.0.7",
            "resp_headers": {},
            "resp_bytes": 0,
            "metadata": {"selector": "s"},
        }
        one.head(200, [*JSON, (b"set-cookie", b"hunter2")])
        one.chunk(b"abc")
        (told,) = await watcher.next()
        assert told["request"]["resp_bytes"] == 3
        assert told["request"]["resp_headers"]["set-cookie"] == "[REDACTED]"
        watcher.ledger.close(one)
        assert await watcher.next() == [{"operation": "remove", "id": "1"}]
        watcher.in_flight.end()

    run(scene())


def test_many_pieces_are_one_message(run, monkeypatch):
    async def scene():
        watcher = Watcher()
        one = watcher.open()
        await watcher.next()
        for _ in range(1000):
            one.chunk(b"x")
        (told,) = await watcher.next()
        assert told["request"]["resp_bytes"] == 1000
        watcher.ledger.close(one)
        watcher.in_flight.end()

    run(scene())


def test_nothing_new_is_nothing_told(run):
    async def scene():
        watcher = Watcher()
        quiet, lively = watcher.open(), watcher.open()
        assert len(await watcher.next(2)) == 2
        for n in range(1, 4):
            lively.chunk(b"x")
            (told,) = await watcher.next()
            assert (told["request"]["id"], told["request"]["resp_bytes"]) == ("2", n)
        watcher.ledger.close(quiet)
        watcher.ledger.close(lively)
        watcher.in_flight.end()

    run(scene())


def test_a_request_without_a_model_yet_is_not_told(run):
    async def scene():
        watcher = Watcher()
        one, other = watcher.open(model=""), watcher.open()
        assert [told["request"]["id"] for told in await watcher.next()] == ["2"]
        assert [request["id"] for request in listed(watcher.ledger)] == ["2"]
        one.model = "m"
        assert [told["request"]["id"] for told in await watcher.next()] == ["1"]
        watcher.ledger.close(one)
        watcher.ledger.close(other)
        watcher.in_flight.end()

    run(scene())


def test_one_that_ends_before_it_was_told_never_was(run):
    async def scene():
        watcher = Watcher()
        watcher.ledger.close(watcher.open())
        watcher.open()
        (told,) = await watcher.next()
        assert (told["operation"], told["request"]["id"]) == ("upsert", "2")
        watcher.in_flight.end()

    run(scene())


def test_whoever_comes_later_is_told_of_the_end_too(run):
    async def scene():
        watcher = Watcher(watching=False)
        one = watcher.open()
        watcher.in_flight.begin()
        (snapshot,) = read(watcher.in_flight.snapshot())
        assert snapshot["operation"] == "snapshot"
        assert [request["id"] for request in snapshot["requests"]] == ["1"]
        watcher.watchers.add("somebody")
        watcher.ledger.close(one)
        assert await watcher.next() == [{"operation": "remove", "id": "1"}]
        watcher.in_flight.end()

    run(scene())


def test_a_second_watcher_takes_no_news_from_the_first(run):
    async def scene():
        watcher = Watcher()
        watcher.open()
        watcher.in_flight.begin()  # before the next look was due
        assert [told["request"]["id"] for told in watcher.told] == ["1"]
        watcher.in_flight.end()

    run(scene())


def test_while_nobody_watches_nothing_is_written(run):
    async def scene():
        watcher = Watcher(watching=False)
        for _ in range(10):
            one = watcher.open()
            one.head(200, JSON)
            one.chunk(b"x")
            watcher.ledger.close(one)
        assert repr(watcher.in_flight) == "<InFlight: 0 told>"
        assert watcher.in_flight._timer is None

    run(scene())

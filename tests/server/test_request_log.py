"""A line in the log for every request that is over, as llama-swap writes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from corral.gateway.exchange import LEFT
from corral.server.request_log import duration

CHAT = "/v1/chat/completions"
LINE = re.compile(
    r'Request (?P<ip>\S+) "(?P<method>[A-Z]+) (?P<path>\S+) (?P<proto>HTTP/1\.[01])" '
    r'(?P<status>\d{3}) (?P<size>\d+) "(?P<agent>[^"]*)" (?P<took>[\d.]+(µs|ms|s)|\d+m\S+s)'
)
PEER = "127.0.0.1"


@pytest.fixture
def lines(caplog):
    """`await lines(n)`: the first `n`, each as what it says."""
    caplog.set_level(logging.INFO, "corral.requests")

    def so_far():
        told = [one for one in caplog.records if one.name == "corral.requests"]
        for one in told:
            assert len(one.moments) == len(one.getMessage().split("\n"))
        return [line for one in told for line in one.getMessage().split("\n")]

    async def go(count):
        async with asyncio.timeout(30):
            while len(so_far()) < count:  # noqa: ASYNC110 - what is logged says so to nobody
                await asyncio.sleep(0.01)
        found = [LINE.fullmatch(line) for line in so_far()]
        assert all(found), so_far()
        assert len(found) == count
        return [one.groupdict() for one in found]

    return go


def test_a_request_for_a_model(both, world, lines):
    async def scene(site):
        answer = await site.http.post(
            CHAT + "?key=secret", json={"model": "a"}, headers={"User-Agent": "thing/1.0 (x)"}
        )
        (line,) = await lines(1)
        assert line.pop("took")
        assert line == {
            "ip": PEER,
            "method": "POST",
            "path": CHAT,
            "proto": "HTTP/1.1",
            "status": "200",
            "size": str(len(answer.content)),
            "agent": "thing/1.0 (x)",
        }

    both(world.alone("a"), scene)


def test_every_other_answer(play, world, lines):
    asked = {
        ("GET", "/health"): 200,
        ("GET", "/running"): 200,
        ("GET", "/nothing/here"): 404,
        ("OPTIONS", "/v1/models"): 204,
        ("DELETE", "/running"): 405,
        ("POST", CHAT): 400,
        ("GET", "/upstream/a"): 301,
        ("GET", "/upstream/nobody/x"): 404,
    }

    async def scene(site):
        answers = [
            await site.http.request(method, path, headers={"User-Agent": ""})
            for method, path in asked
        ]
        said = await lines(len(asked))
        assert {(one["method"], one["path"]): int(one["status"]) for one in said} == asked
        sizes = [str(len(answer.content)) for answer in answers]
        assert [one["size"] for one in said] == sizes
        assert {one["agent"] for one in said} == {""}

    play(world.alone("a"), scene)


def test_who_may_not_is_in_it_too(play, world, lines):
    async def scene(site):
        await site.http.post(CHAT, json={"model": "a"})
        await site.http.get("/running")
        assert [one["status"] for one in await lines(2)] == ["401", "401"]

    play(world.alone("a", more="apiKeys: [k]\n"), scene)


def test_machines_that_ask_all_day_are_not(play, world, lines):
    async def scene(site):
        for path in ("/wol-health", "/api/performance?after=x", "/metrics", "/metrics/x"):
            await site.http.get(path)
        await site.http.get("/health")
        assert [one["path"] for one in await lines(1)] == ["/health"]

    play(world.alone("a"), scene)


def test_what_a_proxy_says_is_not_believed(play, world, lines):
    async def scene(site):
        claimed = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
        await site.http.get("/health", headers=claimed)
        assert (await lines(1))[0]["ip"] == PEER

    play(world.alone("a"), scene)


def test_a_line_stays_one_line(play, world, lines):
    async def scene(site):
        await site.http.get(
            "/x%0AGET%20/fake%22", headers=[("User-Agent", b"caf\xe9 \x9b31m\x85 end")]
        )
        (line,) = await lines(1)
        assert line["path"] == "/x%0AGET%20/fake%22"
        assert line["agent"] == "caf\\xe9 \\x9b31m\\x85 end"

    play(world.alone("a"), scene)


def test_a_client_that_leaves_before_its_answer(play, world, lines):
    async def scene(site):
        site.house.obey()
        with contextlib.suppress(httpx.ReadTimeout):
            await site.http.post(CHAT, json={"model": "a"}, timeout=0.2)
        (line,) = await lines(1)
        assert (line["status"], line["size"]) == (str(LEFT), "0")

    play(world.alone("a"), scene)


def test_a_websocket_when_it_is_over(play, world, lines):
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def scene(site):
        async with serve(echo, PEER, 0) as far:
            site.echo.url = f"http://{PEER}:{far.sockets[0].getsockname()[1]}"
            url = site.url.replace("http", "ws") + "/upstream/a/ws"
            async with connect(url, proxy=None) as tunnel:
                await tunnel.send("hello")
                assert await tunnel.recv() == "hello"
            (line,) = await lines(1)
            assert (line["status"], line["path"]) == ("101", "/upstream/a/ws")

    play(world.alone("a"), scene)


def test_nothing_where_the_level_hides_it(play, world, caplog):
    caplog.set_level(logging.WARNING, "corral")

    async def scene(site):
        assert (await site.http.get("/health")).status_code == 200
        assert site.app.requests.noted({"path": "/health"}, None) is None
        site.app.requests.flush()
        assert not [one for one in caplog.records if one.name == "corral.requests"]

    play(world.alone("a"), scene)


def test_those_that_wait_can_be_told_now(play, world, caplog):
    caplog.set_level(logging.INFO, "corral.requests")

    async def scene(site):
        await site.http.get("/health")
        site.app.requests.flush()
        (record,) = [one for one in caplog.records if one.name == "corral.requests"]
        assert record.getMessage().count("\n") == 0

    play(world.alone("a"), scene, plain=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0µs"),
        (0.0000123, "12µs"),
        (0.00095, "950µs"),
        (0.012345, "12.345ms"),
        (0.1, "100ms"),
        (1.5, "1.5s"),
        (59.9994, "59.999s"),
        (62, "1m2s"),
        (3600.25, "1h0m0.25s"),
        (90061, "25h1m1s"),
    ],
)
def test_durations_are_gos(seconds, text):
    assert duration(seconds) == text

"""The event stream through a real client: headers, what comes, slow readers, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest

from corral.server.app import App
from corral.wire.sse import Parser

BOUND = 20.0


class Listener:
    """Reads the events of a stream of bytes."""

    def __init__(self, pieces):
        self._pieces = pieces
        self._parser = Parser()
        self._heard = []

    async def next(self):
        while not self._heard:
            for event in self._parser.feed(await anext(self._pieces)):
                envelope = json.loads(event.data)
                self._heard.append((envelope["type"], json.loads(envelope["data"])))
        return self._heard.pop(0)

    async def until(self, kind, holds=lambda data: True):
        while True:
            found, data = await self.next()
            if found == kind and holds(data):
                return data


@contextlib.asynccontextmanager
async def listening(site, **headers):
    async with site.http.stream("GET", "/api/events", headers=headers) as answer:
        assert answer.status_code == 200
        yield Listener(answer.aiter_raw())


async def nobody_follows(site):
    await site.house.until(lambda: repr(site.house.journal).endswith(" 0 following>"))


def test_the_stream_is_one_that_nobody_holds_back(play, alone):
    async def scene(site):
        async with site.http.stream("GET", "/api/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-accel-buffering"] == "no"
            assert "content-length" not in answer.headers
            assert await anext(answer.aiter_lines()) == "event: message"
        head = await site.http.head("/api/events")
        assert (head.status_code, head.content) == (200, b"")
        assert (await site.http.post("/api/events")).status_code == 405

    play(alone("a"), scene)


def test_a_client_sees_models_come_and_go_with_the_reason(play, alone):
    async def scene(site):
        async with listening(site) as listener:
            kinds = ["logData", "logData", "modelStatus", "uiConfig", "profileChanged", "inflight"]
            assert [(await listener.next())[0] for _ in kinds] == kinds
            for model in ("a", "b"):
                assert (await site.http.post(f"/api/models/load/{model}")).status_code == 200
                assert (await listener.until("load"))["model"] == model
            left = (await site.http.get("/api/models/a")).json()["last_eviction"]
            assert left["for"] == "b"
            assert "makes room for b" in left["why"]
            ready = lambda data: [one["id"] for one in data if one["state"] == "ready"] == ["b"]  # noqa: E731
            await listener.until("modelStatus", ready)

    play(alone("a", "b"), scene)


def test_a_key_is_needed_where_keys_are(play, alone):
    async def scene(site):
        assert (await site.http.get("/api/events")).status_code == 401
        async with listening(site, authorization="Bearer secret") as listener:
            await listener.until("modelStatus")

    play(alone("a", more="apiKeys: [secret]"), scene)


def test_a_client_that_leaves_is_forgotten(play, alone):
    async def scene(site):
        for _ in range(3):
            async with listening(site) as listener:
                await listener.until("modelStatus")
                assert not repr(site.house.journal).endswith(" 0 following>")
        await nobody_follows(site)

    play(alone("a"), scene)


async def deaf(site):
    """A connection that has asked for the events, and takes hardly any."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    host, port = site.url.removeprefix("http://").split(":")
    await loop.sock_connect(connection, (host, int(port)))
    await loop.sock_sendall(
        connection, b"GET /api/events HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert await loop.sock_recv(connection, 12)
    return connection


async def flood(site):
    for _ in range(200):
        site.house.journal.write(b"x" * 99_999 + b"\n")
        await asyncio.sleep(0)


def test_a_slow_reader_holds_nobody_up_and_catches_up(play, alone):
    async def scene(site):
        loop = asyncio.get_running_loop()
        with contextlib.closing(await deaf(site)) as connection:
            await flood(site)
            assert (await site.http.post("/api/models/load/a")).status_code == 200
            text, end = bytearray(), b'\\"state\\":\\"ready\\"'
            while end not in text:
                text += await loop.sock_recv(connection, 2**20)
            assert b"events were left out for a slow reader" in text
            assert len(text) < 10_000_000  # of twenty
        await nobody_follows(site)

    play(alone("a"), scene)


def test_a_slow_reader_who_gives_up_is_forgotten(play, alone):
    async def scene(site):
        connection = await deaf(site)
        await flood(site)
        connection.close()
        await nobody_follows(site)

    play(alone("a"), scene)


def test_the_stream_ends_properly_when_corral_stops(play, alone):
    async def scene(site):
        async with listening(site) as listener:
            await listener.until("modelStatus")
            await site.house.engine.close(asyncio.Event(), BOUND)
            site.house.journal.close()
            async with asyncio.timeout(BOUND):
                with pytest.raises(StopAsyncIteration):  # not an error: the answer is complete
                    await listener.until("never")

    play(alone("a"), scene)


def test_plain_asgi_streams_too(alone, world):
    """Without the real server: `receive` says when the client leaves."""

    async def scene():
        async with world.open_house(alone("a")) as house:
            left, sent = asyncio.Event(), asyncio.Queue()
            asked = iter([{"type": "http.request"}])

            async def receive():
                for message in asked:
                    return message
                await left.wait()
                return {"type": "http.disconnect"}

            scope = {
                "type": "http", "method": "GET", "path": "/api/events", "raw_path": b"/api/events",
                "query_string": b"", "headers": [], "http_version": "1.1", "asgi": {"version": "3.0"},
            }  # fmt: skip
            serving = asyncio.create_task(App(house.gateway)(scope, receive, sent.put))
            assert (await sent.get())["status"] == 200
            while not (piece := (await sent.get())["body"]):
                pass
            assert b"logData" in piece
            left.set()
            await asyncio.wait_for(serving, BOUND)
            assert repr(house.journal).endswith(" 0 following>")

    asyncio.run(scene())

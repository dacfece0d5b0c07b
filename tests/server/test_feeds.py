"""Logs as text: what was said, and what is being said."""

from __future__ import annotations

import asyncio

import pytest


async def read_until(pieces, words):
    heard = b""
    while words not in heard:
        heard += await anext(pieces)
    return heard


@pytest.mark.parametrize(
    ("path", "own"),
    [("/logs", True), ("/logs/proxy", True), ("/logs/org/a", False), ("/logs/x", False)],
)
def test_history(both, world, path, own):
    async def scene(site):
        site.house.journal.write(b"corral's\n")
        site.house.processes.log("org/a").write(b"the model's \xff\n")
        answer = await site.http.get(path)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.content == (b"corral's\n" if own else b"the model's \xff\n")

    both(world.alone("org/a: {aliases: [x]}"), scene)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/logs/nobody", 404, "model_not_found"),
        ("/logs/stream/nobody", 400, "invalid_request"),  # llama-swap's
    ],
)
def test_nobodys_log(both, world, path, status, code):
    async def scene(site):
        answer = await site.http.get(path)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert "nobody" in answer.json()["error"]["message"]

    both(world.alone("a"), scene)


def test_a_browser_is_shown_to_the_page(both, world):
    async def scene(site):
        page = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        answer = await site.http.get("/logs", headers=page)
        assert (answer.status_code, answer.headers["location"]) == (302, "/ui/")
        for path in ("/logs/proxy", "/logs/upstream", "/logs/a"):
            answer = await site.http.get(path, headers=page)
            assert answer.headers["content-type"].startswith("text/plain")

    both(world.alone("a"), scene)


def test_what_all_models_print(play, world):
    async def scene(site):
        output = site.house.gateway.logs.models
        output.write(b"before\n")
        assert (await site.http.get("/logs/upstream")).text == "before\n"
        async with site.http.stream("GET", "/logs/stream/upstream") as answer:
            pieces = answer.aiter_raw()
            assert await read_until(pieces, b"before\n") == b"before\n"
            output.write(b"after\n")
            assert await read_until(pieces, b"after\n") == b"after\n"
            output.close()
            assert [piece async for piece in pieces] == []

    play(world.alone("a"), scene)


def test_a_full_ring_comes_whole(both, world):
    async def scene(site):
        log = site.house.processes.log("a")
        for number in range(20_000):
            log.write(b"line %d\n" % number)
        answer = await site.http.get("/logs/a")
        assert answer.content == log.history()
        assert len(answer.content) == 100 * 1024
        assert answer.content.endswith(b"line 19999\n")

    both(world.alone("a"), scene)


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("/logs/stream", None),
        ("/logs/stream/proxy", None),
        ("/logs/stream/org/a", "org/a"),
        ("/logs/stream/x", "org/a"),
    ],
)
def test_a_stream_begins_with_the_history_and_goes_on(play, world, path, log):
    async def scene(site):
        ring = site.house.processes.log(log) if log else site.house.journal
        ring.write(b"before\n")
        async with site.http.stream("GET", path) as answer:
            assert answer.headers["x-accel-buffering"] == "no"
            assert answer.headers["cache-control"] == "no-cache"
            pieces = answer.aiter_raw()
            assert await read_until(pieces, b"before\n") == b"before\n"
            ring.write(b"after\n")
            assert await read_until(pieces, b"after\n") == b"after\n"
            ring.close()
            assert [piece async for piece in pieces] == []

    play(world.alone("org/a: {aliases: [x]}"), scene)


@pytest.mark.parametrize("query", ["no-history", "no-history=", "no-history=1"])
def test_a_stream_without_history(play, world, query):
    async def scene(site):
        site.house.journal.write(b"before\n")
        async with site.http.stream("GET", f"/logs/stream?{query}") as answer:
            site.house.journal.write(b"after\n")
            assert await read_until(answer.aiter_raw(), b"after\n") == b"after\n"
            site.house.journal.close()

    play(world.alone("a"), scene)


def test_a_head_of_a_stream_ends(both, world):
    async def scene(site):
        answer = await site.http.head("/logs/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")

    both(world.alone("a"), scene)


def test_readers_that_leave_are_forgotten(play, world):
    async def scene(site):
        log = site.house.processes.log("a")
        for _ in range(5):
            async with site.http.stream("GET", "/logs/stream/a") as answer:
                assert len(log._followers) == 1  # white box: a ring has no other way to tell
                log.write(b"x")
                await anext(answer.aiter_raw())
            await site.house.until(lambda: not len(log._followers))

    play(world.alone("a"), scene)


def test_readers_of_every_log_are_at_the_end_when_corral_has_stopped(play, world):
    """And so uvicorn has no request left to wait for, and to cancel."""

    async def scene(site):
        async with (
            site.http.stream("GET", "/logs/stream/a") as idle,
            site.http.stream("GET", "/logs/stream/b") as used,
        ):
            await site.house.use("b")
            site.house.processes.log("b").write(b"bye\n")
            await site.house.engine.close(asyncio.Event(), 5)
            assert [piece async for piece in idle.aiter_raw()] == []
            assert b"".join([piece async for piece in used.aiter_raw()]) == b"bye\n"
        site.server.should_exit = True
        await site.house.until(lambda: not site.server.server_state.tasks)

    play(world.together("a", "b"), scene)


@pytest.mark.parametrize("how", ["says so", "is found gone"])
def test_a_reader_that_leaves_under_any_other_server(play, world, how):
    """It is heard of through `receive`, or through a `send` that fails."""

    async def scene(site):
        log, heard, gone = site.house.processes.log("a"), [], asyncio.Event()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if how == "is found gone" and message.get("body"):
                raise OSError("gone")
            heard.append(message["type"])

        path = "/logs/stream/a"
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        reading = asyncio.create_task(site.app(scope, receive, send))
        await site.house.until(lambda: len(heard) == 2)
        if how == "says so":
            gone.set()
        else:
            log.write(b"x")
        await reading
        assert not len(log._followers)

    play(world.alone("a"), scene, plain=True)

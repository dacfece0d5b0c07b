"""What people are told of a model."""

from __future__ import annotations

import time

import pytest

from corral.errors import LoadFailed, ModelNotFound
from corral.gateway import views


def test_a_model_that_was_never_used(play, world):
    async def scene(house):
        house.clock.time += 100
        assert views.of(house.gateway, "a") == {
            "id": "a",
            "name": "A",
            "description": "",
            "aliases": ["x"],
            "state": "unloaded",
            "since": round(house.gateway.started_at, 3),
            "in_flight": 0,
            "waiting": 0,
            "pid": None,
            "port": None,
            "cmd": "serve a",
            "proxy": "http://a",
            "shipped": False,
            "persist": True,
            "ttl": 0,
            "ttl_left": None,
            "last_load_seconds": None,
            "last_failure": None,
            "last_eviction": None,
            "memory": None,
        }

    play(world.alone("a: {name: A, aliases: [x], persist: true}"), scene)


def test_since_is_when_the_state_began(play, world):
    async def scene(house):
        await house.use("a")
        house.clock.time += 100
        assert time.time() - views.of(house.gateway, "a")["since"] == pytest.approx(100, abs=5)
        async with house.using("a"):  # which changes nothing
            assert time.time() - views.of(house.gateway, "a")["since"] == pytest.approx(100, abs=5)
        await house.engine.unload(["a"])
        house.clock.time += 10
        assert time.time() - views.of(house.gateway, "a")["since"] == pytest.approx(10, abs=5)

    play(world.alone("a"), scene)


def test_a_load_that_failed_before_it_began_changes_no_state(play, world):
    async def scene(house):
        house.processes.problems["a"] = LoadFailed("no such program")
        with pytest.raises(LoadFailed):
            await house.use("a")
        seen = views.of(house.gateway, "a")
        assert seen["since"] == round(house.gateway.started_at, 3)
        assert seen["last_failure"]["message"] == "no such program"

    play(world.alone("a"), scene)


def test_the_last_load_is_known_while_the_next_one_runs_and_after_it_failed(play, world):
    async def scene(house):
        house.obey()
        loading = await house.begin(house.use("a"))
        await house.loading("a")
        house.clock.time += 4
        house.processes.ready("a")
        await loading
        house.processes.exit("a")
        failing = await house.begin(house.engine.load("a"))
        await house.loading("a")
        assert views.of(house.gateway, "a")["state"] == "loading"
        assert views.of(house.gateway, "a")["last_load_seconds"] == 4
        house.processes.exit("a", LoadFailed("bad flag", exit_code=2, log_tail=["usage: …"]))
        with pytest.raises(LoadFailed):
            await failing
        seen = views.of(house.gateway, "a")
        assert seen["last_load_seconds"] == 4
        assert seen["last_failure"] == {
            "code": "model_load_failed",
            "message": "bad flag",
            "exit_code": 2,
            "log": ["usage: …"],
        }

    play(world.alone("a"), scene)


def test_who_uses_it_and_who_waits(play, world):
    async def scene(house):
        async with house.using("a"):
            waiting = await house.begin(house.use("a"))
            seen = views.of(house.gateway, "a")
            assert (seen["in_flight"], seen["waiting"], seen["state"]) == (1, 1, "ready")
            assert (seen["pid"], seen["memory"], seen["ttl_left"]) == (4000, 1, None)
        await waiting
        house.clock.time += 20
        assert views.of(house.gateway, "a")["ttl_left"] == 40
        house.clock.time += 100  # the alarm is late
        assert views.of(house.gateway, "a")["ttl_left"] == 0

    play(world.alone("a: {parallel: 1, ttl: 60}"), scene)


def test_why_it_was_evicted(play, world):
    async def scene(house):
        await house.use("a")
        await house.use("b")
        assert "makes room for b" in views.of(house.gateway, "a")["last_eviction"]["why"]
        assert [seen["id"] for seen in views.every(house.gateway)] == ["a", "b"]

    play(world.alone("a", "b"), scene)


def test_a_log_by_any_name(play, world):
    async def scene(house):
        house.processes.log("a").write(b"hello")
        assert house.gateway.log("x").history() == b"hello"
        with pytest.raises(ModelNotFound):
            house.gateway.log("y")

    play(world.alone("a: {aliases: [x]}"), scene)


def test_what_a_load_call_says(play, world):
    async def scene(house):
        answer = {"msg": "ok", "model": "a", "load_ms": 0, "queue_ms": 0}
        assert await house.gateway.loaded("a") == answer

    play(world.alone("a"), scene)

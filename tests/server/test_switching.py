"""`POST /admin/switch` and `GET /admin/state`: what they answer, and to whom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from corral.errors import LoadFailed
from corral.scheduler.machine import State

NOBODY = {"total_mb": None, "per_gpu_mb": None}


def switch(site, model, **more):
    return site.http.post("/admin/switch", json={"model": model}, **more)


async def begun(work):
    task = asyncio.create_task(work, name="begun by the test")
    await asyncio.sleep(0)
    return task


def without_times(reading):
    return {key: value for key, value in reading.items() if key != "captured_at"}


def test_the_report(both, alone):
    async def scene(site):
        await site.house.use("a")
        answer = await switch(site, "b")
        assert answer.status_code == 200
        report = answer.json()
        assert list(report) == [
            "previous_model",
            "active_model",
            "elapsed_seconds",
            "phases",
            "gpu_settled",
            "gpu_memory",
        ]
        assert (report["previous_model"], report["active_model"]) == ("a", "b")
        assert report["gpu_settled"] is None
        assert list(report["phases"]) == ["drain", "unload", "settle", "load"]
        assert sum(report["phases"].values()) == pytest.approx(
            report["elapsed_seconds"], abs=report["elapsed_seconds"]
        )
        memory = report["gpu_memory"]
        assert list(memory) == ["before_unload", "after_unload", "after_settle", "after_load"]
        assert all(without_times(reading) == NOBODY for reading in memory.values())
        assert all(reading["captured_at"] > 1e9 for reading in memory.values())

    both(alone("a", "b"), scene)


def test_the_cards_memory(play, alone):
    class Probes:
        def __init__(self):
            self.held = [[700, 100], [500, 100]]

        async def cards(self):
            sizes = self.held.pop(0) if len(self.held) > 1 else self.held[0]
            return [SimpleNamespace(memory_used=size * 2**20) for size in sizes]

        async def memory(self, leaders):
            return {pid: SimpleNamespace(cards={0: 200 * 2**20}) for pid in leaders}

    async def scene(site):
        await site.house.use("a")
        report = (await switch(site, "b")).json()
        assert report["gpu_settled"] is True
        assert without_times(report["gpu_memory"]["before_unload"]) == {
            "total_mb": 800,
            "per_gpu_mb": [700, 100],
        }
        assert report["gpu_memory"]["after_load"]["total_mb"] == 600

    play(alone("a", "b"), scene, probes=Probes())


def test_nothing_to_do(play, alone):
    async def scene(site):
        await switch(site, "a")
        report = (await switch(site, "a")).json()
        assert (report["previous_model"], report["active_model"]) == ("a", "a")
        assert report["elapsed_seconds"] == 0
        assert set(report["phases"].values()) == {0}

    play(alone("a"), scene)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"model": 7}'])
def test_a_body_that_names_no_model(both, alone, body):
    async def scene(site):
        answer = await site.http.post("/admin/switch", content=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["code"] == "invalid_request"
        assert error["message"].startswith('the body must be {"model": "NAME"}: ')

    both(alone("a"), scene)


def test_a_name_that_is_none(play, alone):
    async def scene(site):
        answer = await switch(site, "nobody")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"

    play(alone("a"), scene)


def test_what_does_not_drain_is_a_conflict(play, alone):
    async def scene(site):
        async with site.house.using("a"):
            answer = await switch(site, "b")
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "drain_timeout"

    play(alone("a", "b", more="switching: {drainTimeout: 0}"), scene)


def test_a_load_that_fails_is_503_and_says_what_is_true_now(play, alone):
    async def scene(site):
        await site.house.use("a")
        site.house.processes.problems["b"] = LoadFailed("b: no such file")
        answer = await switch(site, "b")
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["code"] == "model_load_failed"
        assert error["message"].endswith("b: no such file; a is still the active one")

    play(alone("a", "b"), scene)


def test_a_key_is_needed(play, alone):
    async def scene(site):
        assert (await switch(site, "a")).status_code == 401
        assert (await site.http.get("/admin/state")).status_code == 401
        key = {"Authorization": "Bearer one"}
        assert (await switch(site, "a", headers=key)).status_code == 200
        assert (await site.http.get("/admin/state", headers=key)).status_code == 200

    play(alone("a", more="apiKeys: [one]\n"), scene)


def test_other_methods(play, alone):
    async def scene(site):
        assert (await site.http.get("/admin/switch")).status_code == 405
        assert (await site.http.post("/admin/state")).status_code == 405

    play(alone("a"), scene)


def test_the_state_and_the_health_while_one_is_under_way(both, alone):
    async def scene(site):
        house = site.house

        async def standing():
            state = (await site.http.get("/admin/state")).json()
            health = (await site.http.get("/health")).json()
            return state, health["status"], health["active_model"]

        idle = {
            "active_model": None,
            "switching": False,
            "models": ["a", "b"],
            "backend_mode": "process",
            "process_running": False,
            "router_running": False,
            "inflight_chats": 0,
        }
        assert await standing() == (idle, "ok", None)
        async with house.using("a"):
            task = await begun(switch(site, "b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            busy = idle | {
                "active_model": "a",
                "switching": True,
                "process_running": True,
                "inflight_chats": 1,
            }
            assert await standing() == (busy, "switching", "a")
        assert (await task).status_code == 200
        done = idle | {"active_model": "b", "process_running": True}
        assert await standing() == (done, "ok", "b")

    both(alone("a", "b"), scene)


def test_a_configuration_with_routers_runs_in_router_mode(play, alone):
    async def scene(site):
        state = (await site.http.get("/admin/state")).json()
        assert state["backend_mode"] == "router"

    more = """routers: {llama: {url: "http://127.0.0.1:9"}}\n"""
    text = alone("a", more=more).replace(
        "cmd: serve a, proxy: 'http://127.0.0.1:1'", "router: llama"
    )
    play(text, scene)


def test_a_client_that_leaves_while_it_drains_calls_it_off(play, alone):
    async def scene(site):
        house = site.house
        async with house.using("a"):
            task = await begun(switch(site, "b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            task.cancel()
            await asyncio.wait([task])
            await house.until(lambda: house.machine.state("a") is State.READY)
        assert house.processes.running == {"a"}

    play(alone("a", "b"), scene)


def test_requests_for_the_active_model_wait_for_the_switch(play, alone):
    async def scene(site):
        house = site.house
        body = {"model": "active", "messages": []}
        assert (await site.http.post("/v1/chat/completions", json=body)).status_code == 404
        await house.use("a")
        house.obey()
        switching = await begun(switch(site, "b"))
        await house.until(lambda: ("stop", "a") in [order[:2] for order in house.processes.orders])
        asking = await begun(site.http.post("/v1/chat/completions", json=body))
        house.processes.exit("a")
        await house.loading("b")
        house.processes.ready("b")
        assert (await switching).status_code == 200
        answer = await asking
        assert (answer.status_code, answer.headers["x-corral-model"]) == (200, "b")

    play(alone("a", "b"), scene)

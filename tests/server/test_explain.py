"""`/api/explain` before and after: what it says, and that this is what then happens."""

from __future__ import annotations

import asyncio

import pytest

MATRIX = """
models:
  chat: {cmd: serve chat, proxy: 'http://127.0.0.1:1', aliases: [talk]}
  think: {cmd: serve think, proxy: 'http://127.0.0.1:1'}
  code: {cmd: serve code, proxy: 'http://127.0.0.1:1', parallel: 1}
  draw: {cmd: serve draw, proxy: 'http://127.0.0.1:1'}
matrix:
  sets: {voice: chat & think, coding: code & draw, mixed: chat & draw}
  evict_costs: {chat: 10, think: 3}
"""


async def told(site, model):
    answer = await site.http.get("/api/explain", params={"model": model})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def load(site, *models):
    for model in models:
        assert (await site.http.post(f"/api/models/load/{model}")).status_code == 200


def test_a_model_that_is_ready_is_served(play):
    async def scene(site):
        await load(site, "chat")
        said = await told(site, "talk")
        assert (said["model"], said["state"], said["outcome"]) == ("chat", "ready", "served")
        assert said["victims"] == said["waits_for"] == said["waiting"] == []
        assert said["position"] is said["expected_wait"] is said["error"] is None

    play(MATRIX, scene)


def test_a_model_with_room_only_has_to_load(play):
    async def scene(site):
        said = await told(site, "chat")
        assert (said["state"], said["outcome"], said["victims"]) == ("unloaded", "would wait", [])
        assert said["usual_load"] is None
        (obstacle,) = said["waits_for"]
        assert obstacle["model"] == "chat"
        assert "chat has to load" in said["reason"]

    play(MATRIX, scene)


def test_a_swap_names_its_victims_the_set_that_decides_and_the_next_best(play):
    async def scene(site):
        await load(site, "chat", "think")
        said = await told(site, "draw")
        assert said["outcome"] == "would swap"
        assert said["victims"] == [{"model": "think", "state": "ready", "in_flight": 0, "cost": 3}]
        assert "set mixed" in said["rule"]
        assert said["cost"] == 3
        assert said["runner_up"]["victims"] == ["chat", "think"]
        assert said["runner_up"]["cost"] == 13
        assert "set coding" in said["runner_up"]["rule"]
        await load(site, "draw")
        assert site.house.processes.running == {"chat", "draw"}  # as it was told
        assert (await told(site, "draw"))["outcome"] == "served"

    play(MATRIX, scene)


def test_asking_changes_nothing(play):
    async def scene(site):
        await load(site, "chat", "think")
        before, facts = list(site.house.processes.orders), len(site.house.machine.facts)
        states = (await site.http.get("/api/models")).json()
        for model in ("chat", "think", "code", "draw"):
            await told(site, model)
        assert site.house.processes.orders == before
        assert len(site.house.machine.facts) == facts
        after = (await site.http.get("/api/models")).json()
        for old, new in zip(states["models"], after["models"], strict=True):
            assert {**old, "since": 0} == {**new, "since": 0}

    play(MATRIX, scene)


def test_who_is_in_the_way_and_who_waits_since_when(play):
    async def scene(site):
        await load(site, "code")
        async with site.house.using("code"):
            waiting = await site.house.begin(site.house.use("think"))
            await site.house.until(lambda: site.house.machine.waiting("think") == 1)
            said = await told(site, "think")
            assert said["outcome"] == "would wait"
            assert said["victims"] == [
                {"model": "code", "state": "ready", "in_flight": 1, "cost": 1}
            ]
            assert {"model": "code", "why": "code has 1 in flight"} in said["waits_for"]
            assert said["position"] == 2
            assert said["expected_wait"] >= 1
            (queue,) = said["waiting"]
            assert (queue["model"], queue["requests"], queue["callers"]) == ("think", 1, 1)
            began = (await site.http.get("/api/models/code")).json()["since"]
            assert queue["since"] >= began
        await waiting

    play(MATRIX, scene)


def test_a_full_model_says_how_many_are_before_it(play):
    async def scene(site):
        await load(site, "code")
        async with site.house.using("code"):
            waiting = await site.house.begin(site.house.use("code"))
            said = await told(site, "code")
            assert said["outcome"] == "would wait"
            assert "1 wait before it" in said["reason"]
        await waiting

    play(MATRIX, scene)


def test_a_failed_load_refuses_until_its_back_off_ends(play):
    async def scene(site):
        site.house.obey()
        loading = asyncio.create_task(site.http.post("/api/models/load/chat"))
        await site.house.loading("chat")
        site.house.processes.exit("chat")
        assert (await loading).status_code == 503
        said = await told(site, "chat")
        assert (said["outcome"], said["error"]["code"]) == ("refused", "model_load_failed")
        assert 0 < said["error"]["retry_after"] <= 1
        assert said["reason"] == said["error"]["message"]

    play(MATRIX, scene)


def test_what_a_load_takes_is_told_once_it_is_known(play):
    async def scene(site):
        site.house.machine.learn("chat", 12.0)
        said = await told(site, "chat")
        assert said["usual_load"] == 12.0
        assert "usually takes 12 s" in said["reason"]

    play(MATRIX, scene)


def test_groups_do_not_weigh(play, world):
    async def scene(site):
        await load(site, "a")
        said = await told(site, "b")
        assert said["victims"] == [{"model": "a", "state": "ready", "in_flight": 0, "cost": None}]
        assert said["cost"] is said["runner_up"] is None
        assert "replace each other" in said["rule"]

    play(world.alone("a", "b"), scene)


def test_active_is_the_model_last_used(play, world):
    async def scene(site):
        missing = await site.http.get("/api/explain?model=active")
        assert missing.status_code == 404
        await load(site, "b")
        assert (await told(site, "active"))["model"] == "b"

    play(world.alone("a", "b"), scene)


@pytest.mark.parametrize(
    ("query", "status", "code", "says"),
    [
        ("", 400, "model_required", "/api/explain?model=NAME"),
        ("?model=", 400, "model_required", "which model?"),
        ("?name=chat", 400, "model_required", "which model?"),
        ("?model=chatt", 404, "model_not_found", "did you mean `chat`"),
        ("?model=%00%ff", 404, "model_not_found", "there are chat, code, draw, think"),
    ],
)
def test_a_question_that_cannot_be_answered(play, query, status, code, says):
    async def scene(site):
        answer = await site.http.get(f"/api/explain{query}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert says in error["message"]

    play(MATRIX, scene)


def test_only_get_and_only_with_a_key(play, world):
    async def scene(site):
        assert (await site.http.get("/api/explain?model=a")).status_code == 401
        key = {"authorization": "Bearer secret"}
        assert (await site.http.post("/api/explain?model=a", headers=key)).status_code == 405
        assert (await site.http.get("/api/explain?model=a", headers=key)).status_code == 200

    play(world.alone("a", more="apiKeys: [secret]"), scene)


# --- callers ---


def test_callers_take_turns(play, world):
    """One caller's queue does not stand before another's single request."""

    async def scene(site):
        order = []

        async def ask(key, n):
            body = {"model": "a", "messages": []}
            headers = {"authorization": f"Bearer {key}"}
            answer = await site.http.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200
            order.append((key, n))

        site.echo.gate.clear()
        greedy = []
        for n in range(4):
            greedy.append(asyncio.create_task(ask("greedy", n)))
            count = max(0, n)
            await site.house.until(lambda count=count: site.house.machine.waiting("a") == count)
            if n == 0:
                await site.house.until(lambda: site.house.machine.in_flight("a") == 1)
        modest = asyncio.create_task(ask("modest", 0))
        await site.house.until(lambda: site.house.machine.waiting("a") == 4)
        site.echo.gate.set()
        await asyncio.gather(*greedy, modest)
        assert order.index(("modest", 0)) <= 2
        assert [n for key, n in order if key == "greedy"] == [0, 1, 2, 3]

    play(world.alone("a: {parallel: 1}", more="apiKeys: [greedy, modest]"), scene)


def test_a_caller_is_its_key_by_place_else_its_address_and_never_a_secret(play, world):
    async def caller(site, **headers):
        body = {"model": "a", "messages": []}
        answer = await site.http.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200
        return [fact.caller for fact in site.house.machine.facts if hasattr(fact, "caller")][-1]

    async def with_keys(site):
        assert await caller(site, authorization="Bearer one") == "key 1"
        assert await caller(site, **{"x-api-key": "two"}) == "key 2"

    async def without(site):
        assert await caller(site, authorization="Bearer one") == "127.0.0.1"
        assert await caller(site, **{"x-forwarded-for": "10.0.0.1"}) == "127.0.0.1"

    play(world.alone("a", more="apiKeys: [one, two]"), with_keys)
    play(world.alone("a"), without)

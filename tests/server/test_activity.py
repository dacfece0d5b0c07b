"""What is remembered of requests, asked for from the outside; who is in flight, and ending one."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest

CHAT = "/v1/chat/completions"
SECRET = "hunter2"


async def ask(site, model="a", **more):
    return await site.http.post(CHAT, json={"model": model}, **more)


async def page(site, query=""):
    answer = await site.http.get(f"/api/metrics/activity?{query}")
    assert answer.status_code == 200
    return answer.json()


async def entries(site, query=""):
    return (await page(site, query))["data"]


async def in_flight(site):
    return (await site.http.get("/api/inflight")).json()["requests"]


# --- the table ----------------------------------------------------------------------------------


def test_what_was_asked_and_answered_is_in_the_table(both, alone):
    async def scene(site):
        assert (await ask(site)).status_code == 200
        (entry,) = await entries(site)
        assert entry["id"] == 1
        assert (entry["model"], entry["req_path"]) == ("a", CHAT)
        assert (entry["resp_status_code"], entry["resp_content_type"]) == (200, "application/json")
        assert entry["has_capture"] is True
        assert "error_msg" not in entry
        assert entry["duration_ms"] >= 0

    both(alone("a"), scene)


def test_every_way_to_a_model_route_is_in_it_under_the_engines_path(play, alone):
    async def scene(site):
        body = {"json": {"model": "a"}}
        for path in (CHAT, "/v/completions", f"/upstream/a{CHAT}", "/audioapi/v1/tasks/run"):
            assert (await site.http.post(path, **body)).status_code == 200
        await site.http.get("/props?model=a")
        await site.http.post("/upstream/a/other", **body)
        paths = [entry["req_path"] for entry in await entries(site, "order=asc")]
        assert paths == [CHAT, "/completions", CHAT, "/v1/tasks/run"]

    play(alone("a"), scene)


def test_what_names_no_model_is_not_and_what_fails_is(play, alone):
    async def scene(site):
        assert (await site.http.post(CHAT, content=b"{")).status_code == 400
        assert (await site.http.post(CHAT, content=b"{}")).status_code == 400
        assert await entries(site) == []
        site.house.processes.obedient.clear()
        loading = asyncio.create_task(ask(site), name="loads")
        await site.house.loading("a")
        site.house.processes.exit("a")
        assert (await loading).status_code == 503
        (entry,) = await entries(site)
        assert (entry["resp_status_code"], entry["error_msg"]) == (503, "a exited with 1")
        assert entry["has_capture"] is True

    play(alone("a"), scene)


def test_a_refusal_is_in_the_table(play, alone):
    async def scene(site):
        await ask(site)
        async with site.house.using("a"):
            assert (await ask(site)).status_code == 429
        entry, _ = await entries(site)
        assert entry["resp_status_code"] == 429
        assert entry["resp_content_type"] == "application/json"
        assert entry["error_msg"] == "a has 1 requests already, its limit"

    play(alone("a: {concurrencyLimit: 1}"), scene)


def test_a_name_that_no_model_has_is_in_the_table(play, alone):
    async def scene(site):
        for name in ("nobody", "n" * 1000):
            assert (await ask(site, name)).status_code == 404
        long, short = await entries(site)
        assert (short["model"], short["resp_status_code"]) == ("nobody", 404)
        assert short["error_msg"].startswith("no model is called `nobody`")
        assert long["model"] == "n" * 200

    play(alone("a"), scene)


@pytest.mark.parametrize("use", ["fifo", "fair"])
def test_the_priority_of_llama_swaps_scheduler_is_in_the_table(play, alone, use):
    scheduler = f"use: {use}, settings: {{fifo: {{priority: {{a: 5}}}}}}"

    async def scene(site):
        for model in "ab":
            await ask(site, model)
        noted = [entry.get("metadata") for entry in await entries(site)]
        expected = [{"fifo_priority": "0"}, {"fifo_priority": "5"}]
        assert noted == (expected if use == "fifo" else [None, None])

    play(alone("a", "b", more=f"routing: {{scheduler: {{{scheduler}}}}}\n"), scene)


def test_pages_and_filters(play, alone):
    async def scene(site):
        for model in "abaab":
            await ask(site, model)
        first = await page(site, "limit=2")
        assert {key: first[key] for key in ("page", "limit", "total", "total_pages")} == {
            "page": 1,
            "limit": 2,
            "total": 5,
            "total_pages": 3,
        }
        assert [one["id"] for one in first["data"]] == [5, 4]
        assert [one["id"] for one in await entries(site, "model=b&sort=id&order=asc")] == [2, 5]
        assert [one["id"] for one in await entries(site, "model=b&model=a&limit=2&page=3")] == [1]
        at = first["data"][0]["timestamp"]
        assert 5 in [one["id"] for one in await entries(site, f"start={at}&end={at}")]
        assert await entries(site, "start=2999-01-01T00:00:00Z") == []

    play(alone("a", "b"), scene)


@pytest.mark.parametrize(
    "query", ["limit=1000", "page=0", "sort=x", "order=x", "start=x", "max_id=0"]
)
def test_wrong_parameters_are_400_and_say_which(play, alone, query):
    async def scene(site):
        answer = await site.http.get(f"/api/metrics/activity?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_request"
        assert f"`{query.partition('=')[0]}`" in answer.json()["error"]["message"]

    play(alone("a"), scene)


def test_stats(play, alone):
    async def scene(site):
        for model in "aab":
            await ask(site, model)
        assert (await site.http.get("/api/metrics/stats?model=a")).json() == {
            "total_requests": 2,
            "total_input_tokens": 0,
            "total_output_tokens": 0,
            "total_cache_tokens": 0,
            "prompt_histogram": None,
            "gen_histogram": None,
        }
        assert (await site.http.get("/api/metrics/stats")).json()["total_requests"] == 3

    play(alone("a", "b"), scene)


def test_a_table_that_does_not_answer_is_said(play, alone, monkeypatch):
    monkeypatch.setattr("corral.host.storage.PATIENCE", 0.05)

    async def scene(site):
        release = asyncio.Event()
        loop = asyncio.get_running_loop()
        hung = lambda _: asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)  # noqa: E731
        site.house.storage.tell(hung)
        for path in ("/api/metrics/activity", "/api/metrics/stats"):
            answer = await site.http.get(path)
            assert answer.status_code == 500
            assert "cannot be read now" in answer.json()["error"]["message"]
        assert (await ask(site)).status_code == 200  # everyone else is served
        release.set()

    play(alone("a"), scene)


# --- captures -----------------------------------------------------------------------------------


def test_a_capture_has_what_was_asked_and_answered_without_secrets(play, alone):
    async def scene(site):
        headers = {
            "Authorization": f"Bearer {SECRET}",
            "Cookie": f"session={SECRET}",
            "X-Api-Key": SECRET,
            "Referer": f"http://x/?api_key={SECRET}",
        }
        answer = await ask(site, headers=headers, params={"api_key": SECRET})
        (entry,) = await entries(site)
        await told(site, 1)
        text = (await site.http.get(f"/api/captures/{entry['id']}")).text
        shown = json.loads(text)
        assert (
            base64.b64decode(shown["resp_body"]) == answer.content
        )  # the echo has no body's secrets
        shown.pop("resp_body")
        assert SECRET not in json.dumps(shown)
        assert shown["req_path"] == CHAT
        assert json.loads(base64.b64decode(shown["req_body"])) == {"model": "a"}
        assert shown["req_headers"]["authorization"] == "[REDACTED]"
        assert shown["resp_headers"]["content-type"] == "application/json"

    play(alone("a"), scene)


async def told(site, number):
    """Until the row is there, and its capture has its id."""
    await site.house.until(lambda: number in site.house.gateway.activity.captures)


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        ("x", 400, "a capture's id is a whole number"),
        ("1.5", 400, "a capture's id is a whole number"),
        ("7", 404, "there is no capture 7, or no longer"),
        ("-7", 404, "there is no capture -7, or no longer"),
        ("9" * 19, 404, f"there is no capture {'9' * 19}, or no longer"),
        ("9" * 5000, 400, "a capture's id is a whole number"),
    ],
)
def test_no_such_capture(play, alone, number, status, message):
    async def scene(site):
        answer = await site.http.get(f"/api/captures/{number}")
        assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)

    play(alone("a"), scene)


def test_without_a_capture_buffer_there_are_none(play, alone):
    async def scene(site):
        await ask(site)
        (entry,) = await entries(site)
        assert entry["has_capture"] is False
        assert (await site.http.get("/api/captures/1")).status_code == 404

    play(alone("a", more="captureBuffer: 0\n"), scene)


# --- who is in flight ---------------------------------------------------------------------------


def test_a_request_is_in_flight_until_it_is_over(both, alone):
    async def scene(site):
        assert await in_flight(site) == []
        site.echo.gate.clear()
        asking = asyncio.create_task(
            ask(site, headers={"authorization": SECRET}), name="is in flight"
        )
        await site.echo.asked.wait()
        (request,) = await in_flight(site)
        assert (request["model"], request["req_path"]) == ("a", CHAT)
        assert request["req_headers"]["authorization"] == "[REDACTED]"
        site.echo.gate.set()
        assert (await asking).status_code == 200
        assert await in_flight(site) == []

    both(alone("a"), scene)


def test_a_request_that_is_cancelled_gets_an_error_and_its_place_is_free(both, alone):
    async def scene(site):
        site.echo.gate.clear()
        asking = asyncio.create_task(ask(site), name="is cancelled")
        await site.echo.asked.wait()
        (request,) = await in_flight(site)
        answer = await site.http.post(f"/api/inflight/{request['id']}/cancel")
        assert (answer.status_code, answer.json()) == (200, {"msg": "ok"})
        cancelled = await asking
        assert cancelled.status_code == 499
        assert cancelled.json()["error"]["code"] == "cancelled"
        await site.echo.left.wait()  # the engine is told
        assert site.house.machine.in_flight("a") == 0
        site.echo.gate.set()
        assert (await ask(site)).status_code == 200
        statuses = [one["resp_status_code"] for one in await entries(site)]
        assert statuses == [200, 499]

    both(alone("a: {concurrencyLimit: 1}"), scene)


def test_one_that_waits_for_its_model_can_be_cancelled_too(play, alone):
    async def scene(site):
        site.house.processes.obedient.clear()
        asking = asyncio.create_task(ask(site), name="is cancelled")
        await site.house.loading("a")
        (request,) = await in_flight(site)
        for _ in range(3):
            await site.http.post(f"/api/inflight/{request['id']}/cancel")
        assert (await asking).status_code == 499
        site.house.processes.ready("a")
        assert (await ask(site)).status_code == 200

    play(alone("a"), scene)


def test_a_client_that_leaves_is_in_the_table(play, alone):
    async def scene(site):
        site.echo.gate.clear()
        asking = asyncio.create_task(ask(site), name="leaves")
        await site.echo.asked.wait()
        asking.cancel()
        await site.echo.left.wait()
        await site.house.until(lambda: not site.house.gateway.ledger.in_flight)
        (entry,) = await entries(site)
        assert (entry["resp_status_code"], entry["error_msg"]) == (499, "the client left")

    play(alone("a"), scene)


@pytest.mark.parametrize("number", ["7", "x", "0", "-1", "9" * 100])
def test_nobody_of_that_number(play, alone, number):
    async def scene(site):
        answer = await site.http.post(f"/api/inflight/{number}/cancel")
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith(f"no request {number} is in flight")

    play(alone("a"), scene)


def test_keys_are_needed_where_keys_are(play, alone):
    async def scene(site):
        for path in (
            "/api/metrics/activity",
            "/api/metrics/stats",
            "/api/captures/1",
            "/api/inflight",
        ):
            assert (await site.http.get(path)).status_code == 401
        assert (await site.http.post("/api/inflight/1/cancel")).status_code == 401

    play(alone("a", more="apiKeys: [secret]"), scene)


def test_nothing_of_all_this_is_logged_as_a_failure(play, alone, caplog):
    caplog.set_level(logging.WARNING, "corral")

    async def scene(site):
        await ask(site)
        await entries(site)

    play(alone("a"), scene)
    assert [r.getMessage() for r in caplog.records if r.name != "corral.calls"] == []

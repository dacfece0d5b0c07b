"""Turns of conversations over HTTP: what the heads of answers and of errors say, and what /health tells of the store."""

from __future__ import annotations

import asyncio
import json

import pytest

CHAT = "/v1/chat/completions"
ID = "x-corral-session"


def body(*messages, **more):
    said = [{"role": "user", "content": text} for text in messages]
    return {"model": "a", "session_id": "s", "messages": said} | more


def test_an_answer_says_its_session_and_nothing_unread_is_stored(both, world, tmp_path):
    async def scene(site):
        answer = await site.http.post(CHAT, json=body("hi"))
        assert answer.headers[ID] == "s"
        asked = json.loads(answer.json()["body"])  # the engine says what it was asked
        assert asked == {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
        assert (await site.http.get("/api/sessions/s")).status_code == 404

    both(world.alone("a"), scene, database=tmp_path / "corral.db")


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"messages": "hi"}, 400, "invalid_request"),
        ({"messages": [5]}, 400, "invalid_request"),
        ({"model": "nobody"}, 404, "model_not_found"),
    ],
)
def test_an_error_says_the_session_too(both, world, wrong, status, code):
    async def scene(site):
        answer = await site.http.post(CHAT, json=body("hi", **wrong))
        assert (answer.status_code, answer.headers[ID]) == (status, "s")
        assert answer.json()["error"]["code"] == code

    both(world.alone("a"), scene)


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_session_that_cannot_be_one(both, world, name):
    async def scene(site):
        answer = await site.http.post(CHAT, json=body("hi", session_id=name))
        assert answer.status_code == 400
        assert "session's id" in answer.json()["error"]["message"]

    both(world.alone("a"), scene)


def test_who_waits_too_long_gets_a_conflict(both, world):
    async def scene(site):
        site.echo.gate.clear()
        first = asyncio.create_task(site.http.post(CHAT, json=body("one")), name="the first turn")
        await site.house.until(lambda: site.house.machine.in_flight("a"))
        second = await site.http.post(CHAT, json=body("two"))
        assert (second.status_code, second.json()["error"]["code"]) == (409, "session_busy")
        assert second.headers["retry-after"] == "1"
        site.echo.gate.set()
        assert (await first).status_code == 200

    settings = "routing: {scheduler: {settings: {fair: {queueTimeout: 0.05}}}}\n"
    both(world.alone("a", more=settings), scene)


def test_a_body_on_disk_is_a_turn_as_well(both, world, tmp_path):
    async def scene(site):
        answer = await site.http.post(CHAT, json=body("x" * 5_000_000, stream=False))
        assert answer.headers[ID] == "s"
        assert answer.json()["size"] > 5_000_000

    both(world.alone("a"), scene, database=tmp_path / "corral.db")


def test_health_tells_what_is_wrong_with_the_store(both, world, tmp_path):
    async def scene(site):
        assert "sessions" not in (await site.http.get("/health")).json()
        site.house.gateway.conversations.store._trouble = "the disk is full"
        health = (await site.http.get("/health")).json()
        assert health["sessions"] == {"trouble": "the disk is full"}

    both(world.alone("a"), scene, database=tmp_path / "corral.db")

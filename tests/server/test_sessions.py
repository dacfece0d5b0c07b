"""`/api/sessions`: what is kept of conversations, shown, changed, forked, exported and deleted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import json
import sqlite3
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest

from corral.errors import NotStored
from corral.host.conversations import Conversations
from corral.server import transcript
from corral.sessions.blobs import detach
from corral.sessions.budget import size
from corral.sessions.identity import digest
from corral.sessions.record import Head, Record

PNG = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode()
SYSTEM = {"role": "system", "content": "Be kind."}
ASKED = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is it? 木"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ],
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "a cat"}
SAID = {"role": "assistant", "content": "A cat.", "corral": {"anthropic": {"role": "assistant"}}}
SHOWN = {"role": "assistant", "content": "A cat."}
CHAT = [ASKED, CALLED, RESULT, SAID]


def error(answer, status, code):
    assert answer.status_code == status, answer.text
    body = answer.json()["error"]
    assert body["code"] == code
    return body["message"]


async def remember(site, session_id, messages=CHAT, at=100.0, **more):
    """A session, as turns leave it."""
    held, records = {}, []
    for message in messages:
        kept, found = detach(message)
        held |= found
        about = {"model": "a", "prompt_tokens": 40} if message["role"] == "assistant" else {}
        records.append(Record(kept, digest(kept), size(kept), at, **about))
    head = Head(session_id, at, at, model="a", system=(SYSTEM,), **more)
    assert (
        await site.house.gateway.conversations.store.append(session_id, 0, records, held, head)
        == ""
    )


@pytest.fixture
def play(play, tmp_path):
    """As everywhere, with a file to keep conversations in."""
    return functools.partial(play, database=tmp_path / "corral.db")


@pytest.fixture
def both(both, tmp_path):
    return functools.partial(both, database=tmp_path / "corral.db")


@pytest.fixture
def talk(play, world):
    """`talk(scene)`: a corral that remembers one conversation, `cats`."""

    def go(scene, *, config="", **options):
        async def whole(site):
            await remember(site, "cats")
            await scene(site)

        play(world.alone("a") + config, whole, **options)

    return go


# --- showing ---


def test_the_list_has_the_newest_first_and_no_messages(both, world):
    async def scene(site):
        empty = await site.http.get("/api/sessions")
        assert empty.json() == {"sessions": [], "total": 0, "limit": 100, "offset": 0}
        await remember(site, "old", at=1.0)
        await remember(site, "new", at=3.0, metadata={"title": "neu"})
        await remember(site, "middle", [ASKED], at=2.0)
        page = (await site.http.get("/api/sessions")).json()
        assert [row["session_id"] for row in page["sessions"]] == ["new", "middle", "old"]
        assert [row["message_count"] for row in page["sessions"]] == [4, 1, 4]
        assert page["sessions"][0] == {
            "session_id": "new",
            "created_at": 3.0,
            "updated_at": 3.0,
            "model": "a",
            "preset": None,
            "message_count": 4,
            "metadata": {"title": "neu"},
        }
        rest = (await site.http.get("/api/sessions?limit=1&offset=1")).json()
        assert [row["session_id"] for row in rest["sessions"]] == ["middle"]
        assert (rest["total"], rest["limit"], rest["offset"]) == (3, 1, 1)
        assert (await site.http.get("/api/sessions?limit=99999")).json()["limit"] == 1000

    both(world.alone("a"), scene)


def test_a_session_is_shown_with_its_messages(both, world):
    async def scene(site):
        await remember(site, "cats")
        shown = (await site.http.get("/api/sessions/cats")).json()
        messages = shown.pop("messages")
        assert shown == {
            "session_id": "cats",
            "created_at": 100.0,
            "updated_at": 100.0,
            "model": "a",
            "preset": None,
            "message_count": 4,
            "metadata": {},
            "system": [SYSTEM],
            "parked": {},
            "last_reuse": None,
        }
        about = [message.pop("corral") for message in messages]
        assert [one["number"] for one in about] == [1, 2, 3, 4]
        assert about[3] == {"number": 4, "at": 100.0, "model": "a", "prompt_tokens": 40}
        assert messages[1:] == [CALLED, RESULT, SHOWN]
        url = messages[0]["content"][1]["image_url"]["url"]
        assert url["before"] == "data:image/png;base64,"
        assert len(url["$blob"]) == 64

    both(world.alone("a"), scene)


def test_some_of_its_messages(talk):
    async def scene(site):
        some = (await site.http.get("/api/sessions/cats?after=1&limit=2")).json()
        assert [message["corral"]["number"] for message in some["messages"]] == [2, 3]
        assert some["message_count"] == 4
        rest = (await site.http.get("/api/sessions/cats?after=3")).json()
        assert [message["corral"]["number"] for message in rest["messages"]] == [4]
        assert (await site.http.get("/api/sessions/cats?after=9")).json()["messages"] == []
        assert (await site.http.get("/api/sessions/cats?limit=0")).json()["messages"] == []

    talk(scene)


def test_what_is_parked_of_it(talk):
    forgotten = []
    parking = SimpleNamespace(
        parked=lambda session_id: {"a": 4096} if session_id == "cats" else {},
        reused=lambda _: SimpleNamespace(model="a", tokens=90, of=100, at=7.0),
        forgotten=forgotten.append,
    )

    async def scene(site):
        site.house.gateway.conversations.parking = parking  # a machine that has parked something
        shown = (await site.http.get("/api/sessions/cats")).json()
        assert shown["parked"] == {"a": 4096}
        assert shown["last_reuse"] == {"model": "a", "tokens": 90, "of": 100, "at": 7.0}
        await site.http.delete("/api/sessions/cats")
        assert forgotten == ["cats"]

    talk(scene)


@pytest.mark.parametrize("name", ["a/b", "ü 木", "100%", "a?b#c", "x/y/z"])
def test_ids_of_all_kinds(play, world, name):
    async def scene(site):
        await remember(site, name)
        url = f"/api/sessions/{quote(name)}"
        assert (await site.http.get(url)).json()["session_id"] == name
        forked = await site.http.post(f"{url}/fork")
        assert forked.json()["forked_from"] == name
        assert (await site.http.delete(url)).json() == {"session_id": name, "deleted": True}

    play(world.alone("a"), scene)


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "offset=1.5", "limit=", "offset=" + "9" * 30]
)
def test_a_page_that_is_no_number(talk, query):
    async def scene(site):
        message = error(await site.http.get(f"/api/sessions?{query}"), 400, "invalid_request")
        assert "must be a whole number" in message

    talk(scene)


UNKNOWN = [
    ("GET", ""),
    ("GET", "/export"),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/fork"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN)
def test_a_session_that_is_not_there(talk, method, path):
    async def scene(site):
        answer = await site.http.request(method, f"/api/sessions/dogs{path}")
        assert error(answer, 404, "session_not_found") == "there is no session `dogs`"

    talk(scene)


def test_other_methods_are_refused_and_all_sessions_cannot_be_deleted_at_once(talk):
    async def scene(site):
        for method, path in (("DELETE", ""), ("POST", ""), ("PUT", "/cats"), ("POST", "/cats")):
            answer = await site.http.request(method, f"/api/sessions{path}")
            error(answer, 405, "method_not_allowed")
        head = await site.http.head("/api/sessions/cats/export")
        assert (head.status_code, head.content) == (200, b"")

    talk(scene)


def test_keys(talk):
    async def scene(site):
        for method, path in (
            ("GET", ""),
            ("GET", "/cats"),
            *((m, f"/cats{p}") for m, p in UNKNOWN),
        ):
            error(await site.http.request(method, f"/api/sessions{path}"), 401, "unauthorized")
        key = {"Authorization": "Bearer secret"}
        assert (await site.http.get("/api/sessions/cats", headers=key)).status_code == 200

    talk(scene, config="\napiKeys: [secret]\n")


# --- exporting ---


def test_an_export_is_a_chat_request_that_can_be_sent_again(both, world):
    async def scene(site):
        await remember(site, "cats")
        whole = [SYSTEM, ASKED, CALLED, RESULT, SHOWN]
        answer = await site.http.get("/api/sessions/cats/export")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"model": "a", "messages": whole}
        answer = await site.http.get("/api/sessions/cats/export?format=jsonl")
        assert answer.headers["content-type"] == "application/jsonl"
        assert [json.loads(line) for line in answer.text.splitlines()] == whole
        answer = await site.http.get("/api/sessions/cats/export?format=xml")
        assert error(answer, 400, "invalid_request") == "format must be json or jsonl"

    both(world.alone("a"), scene)


def test_an_export_of_several_pages(talk):
    messages = [
        message
        for i in range(transcript.PAGE + 7)
        for message in ({"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "."})
    ]

    async def scene(site):
        await remember(site, "long", messages)
        answer = await site.http.get("/api/sessions/long/export")
        assert answer.json()["messages"][1:] == messages
        shown = await site.http.get("/api/sessions/long?after=90&limit=100")
        assert [m["corral"]["number"] for m in shown.json()["messages"]] == list(range(91, 191))

    talk(scene)


def test_an_export_of_what_is_deleted_meanwhile_has_no_end(talk):
    messages = [{"role": "user", "content": f"{i}"} for i in range(transcript.PAGE + 1)]

    async def scene(site):
        store = site.house.gateway.conversations.store
        await remember(site, "long", messages)
        pieces = transcript.lines(store, await store.head("long"))
        async with contextlib.aclosing(pieces):
            assert json.loads(await anext(pieces)) == SYSTEM
            assert json.loads(await anext(pieces)) == messages[0]
            await site.http.delete("/api/sessions/long")
            with pytest.raises(NotStored, match="message 101 of 101"):
                async for _ in pieces:
                    pass

    talk(scene)


def test_what_is_cut_off_does_not_look_whole_to_its_client(talk):
    """More than what lies between corral and a client that does not read."""
    messages = [{"role": "user", "content": "x" * 2**18}] * (transcript.PAGE + 1)

    async def scene(site):
        await remember(site, "long", messages)
        async with site.http.stream("GET", "/api/sessions/long/export") as answer:
            pieces = answer.aiter_bytes()
            assert (await anext(pieces)).startswith(b'{"model":"a","messages":[')
            await site.http.delete("/api/sessions/long")
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in pieces:
                    pass

    talk(scene)


# --- changing ---


def test_preset_system_and_notes_are_changed(both, world):
    async def scene(site):
        await remember(site, "cats")

        async def patch(**change):
            answer = await site.http.patch("/api/sessions/cats", json=change)
            assert answer.status_code == 200, answer.text
            assert (
                answer.json().items() <= (await site.http.get("/api/sessions/cats")).json().items()
            )
            return answer.json()

        before = await patch()
        assert (before["preset"], before["system"], before["metadata"]) == (None, [SYSTEM], {})
        assert (await patch(preset="pirate"))["preset"] == "pirate"
        noted = await patch(metadata={"title": "Cats", "tag": "x"})
        assert noted["metadata"] == {"title": "Cats", "tag": "x"}
        assert noted["preset"] == "pirate"
        assert (await patch(metadata={"tag": None, "more": ""}))["metadata"] == {
            "title": "Cats",
            "more": "",
        }
        assert (await patch(metadata=None))["metadata"] == {}
        assert (await patch(system="Be brief."))["system"] == [
            {"role": "system", "content": "Be brief."}
        ]
        several = [SYSTEM, {"role": "developer", "content": [{"type": "text", "text": "木"}]}]
        assert (await patch(system=several))["system"] == several
        assert (await patch(system=None))["system"] == []
        assert (await patch(preset=None))["preset"] is None
        assert (await patch(preset=""))["preset"] is None

    both(world.alone("a") + '\nsessions: {presets: {pirate: "Arr."}}\n', scene)


WRONG = [
    ("PATCH", b"{", "the body cannot be taken"),
    ("PATCH", b"[]", "Expected `object`, got `array`"),
    ("PATCH", b"\xff", "the body cannot be taken"),
    ("PATCH", b"[" * 100_000, "the body cannot be taken"),
    ("PATCH", b'{"presets": "x"}', "unknown field `presets`"),
    ("PATCH", b'{"preset": 1}', "Expected `str | null`, got `int` - at `$.preset`"),
    ("PATCH", b'{"preset": "pirat"}', "preset: there is no preset `pirat`"),
    ("PATCH", b'{"metadata": {"a": 1}}', "got `int` - at `$.metadata[...]`"),
    ("PATCH", b'{"system": [1]}', "got `int` - at `$.system[0]`"),
    ("PATCH", b'{"system": [{"role": "user", "content": "x"}]}', "system: messages[0] must be"),
    ("PATCH", b'{"system": [{"role": "king", "content": "x"}]}', "system: messages[0]"),
    ("POST", b'{"at": "1"}', "Expected `int | null`, got `str` - at `$.at`"),
    ("POST", b'{"at": 5}', "at must be 0 to 4, the messages that there are"),
    ("POST", b'{"at": -1}', "at must be 0 to 4"),
    ("POST", b'{"before": 1}', "unknown field `before`"),
    ("POST", b'{"session_id": " "}', "must not be empty"),
    ("POST", b'{"session_id": "cats"}', "there is a session `cats` already"),
]


@pytest.mark.parametrize(("method", "body", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_with_a_change_is_told_and_nothing_changes(talk, method, body, said):
    async def scene(site):
        before = (await site.http.get("/api/sessions/cats")).json()
        path = "/api/sessions/cats" + ("/fork" if method == "POST" else "")
        message = error(await site.http.request(method, path, content=body), 400, "invalid_request")
        assert said in message
        assert "\n" not in message
        assert (await site.http.get("/api/sessions/cats")).json() == before
        assert (await site.http.get("/api/sessions")).json()["total"] == 1

    talk(scene, config='\nsessions: {presets: {pirate: "Arr."}}\n')


def test_a_change_of_more_than_a_megabyte(talk):
    async def scene(site):
        answer = await site.http.patch("/api/sessions/cats", json={"system": "x" * 2**20})
        error(answer, 413, "body_too_large")

    talk(scene)


def test_a_change_waits_for_the_turn_that_is_under_way(talk):
    async def scene(site):
        alone = site.house.gateway.conversations.alone
        async with alone("cats"):
            for method in ("PATCH", "DELETE"):
                answer = await site.http.request(method, "/api/sessions/cats")
                error(answer, 409, "session_busy")
        assert (await site.http.patch("/api/sessions/cats")).status_code == 200

    talk(scene, config="\nrouting: {scheduler: {settings: {fair: {queueTimeout: 0.05}}}}\n")


# --- forking and deleting ---


def test_a_fork_has_the_first_messages_and_a_life_of_its_own(both, world):
    async def scene(site):
        await remember(site, "cats")
        answer = await site.http.post(
            "/api/sessions/cats/fork", json={"at": 3, "session_id": "kittens"}
        )
        assert answer.status_code == 201
        made = answer.json()
        assert (made["session_id"], made["message_count"]) == ("kittens", 3)
        assert (made["forked_from"], made["forked_at"]) == ("cats", 3)
        whole = await site.http.get("/api/sessions/kittens/export")
        assert whole.json()["messages"] == [SYSTEM, ASKED, CALLED, RESULT]
        await site.http.delete("/api/sessions/cats")
        assert (await site.http.get("/api/sessions/kittens/export")).json() == whole.json()

    both(world.alone("a"), scene)


@pytest.mark.parametrize(
    ("body", "count"), [(b"", 4), (b"{}", 4), (b'{"at": null}', 4), (b'{"at": 0}', 0)]
)
def test_a_fork_of_all_that_is_there(talk, body, count):
    async def scene(site):
        made = (await site.http.post("/api/sessions/cats/fork", content=body)).json()
        assert made["session_id"] != "cats"
        assert made["message_count"] == count

    talk(scene)


def test_a_deleted_session_is_gone(both, world):
    async def scene(site):
        await remember(site, "cats")
        await remember(site, "dogs", [ASKED])
        assert (await site.http.delete("/api/sessions/cats")).status_code == 200
        error(await site.http.get("/api/sessions/cats"), 404, "session_not_found")
        error(await site.http.delete("/api/sessions/cats"), 404, "session_not_found")
        export = (await site.http.get("/api/sessions/dogs/export")).json()
        assert export["messages"] == [SYSTEM, ASKED]  # the image that they had in common is there

    both(world.alone("a"), scene)


# --- a disk in trouble ---


def test_a_disk_that_takes_nothing(talk, tmp_path):
    async def scene(site):
        file = tmp_path / "corral.db"
        with contextlib.closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            for method, path in (("PATCH", ""), ("POST", "/fork"), ("DELETE", "")):
                answer = await site.http.request(method, f"/api/sessions/cats{path}")
                message = error(answer, 503, "not_stored")
                assert message.startswith("session cats stays as it is: ")
                assert "locked" in message
            assert "locked" in (await site.http.get("/api/sessions")).json()["trouble"]
            assert "locked" in error(
                await site.http.get("/api/sessions/x"), 404, "session_not_found"
            )
            other.rollback()
        assert (await site.http.delete("/api/sessions/cats")).status_code == 200

    talk(scene)


def test_a_conversation_that_went_on_without_the_disk_is_whole(talk):
    """Corral's own store, as the routes use it: several changes at a time."""

    async def scene(site):
        store = site.house.gateway.conversations.store
        assert isinstance(store, Conversations)
        forks = [site.http.post("/api/sessions/cats/fork") for _ in range(8)]
        made = [answer.json()["session_id"] for answer in await asyncio.gather(*forks)]
        assert len(set(made)) == 8
        assert (await site.http.get("/api/sessions")).json()["total"] == 9

    talk(scene)

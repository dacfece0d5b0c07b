"""Model requests from the outside: headers that come and go, request ids, clients that leave, and that everyone is answered."""

from __future__ import annotations

import asyncio
import re

import pytest

from corral.errors import LoadFailed
from corral.gateway.inference import Inference

CHAT = "/v1/chat/completions"


async def ask(site, headers=None, **body):
    return await site.http.post(CHAT, json={"model": "a"} | body, headers=headers)


def sent(answer, name):
    return [value for key, value in answer.json()["headers"] if key == name]


def test_the_answer_is_the_engines_with_corrals_headers(both, world):
    async def scene(site):
        answer = await ask(site)
        assert answer.status_code == 200
        assert answer.json()["target"] == CHAT
        assert answer.headers["x-corral-model"] == "a"
        assert answer.headers["x-corral-queue-ms"].isdigit()
        assert answer.headers["x-corral-load-ms"].isdigit()
        assert (await ask(site)).headers["x-corral-load-ms"] == "0"

    both(world.alone("a"), scene)


def test_hop_by_hop_headers_stay_here_and_others_go_on(play, world):
    async def scene(site):
        answer = await ask(
            site, {"X-Mine": "1", "Connection": "keep-alive, x-hop", "X-Hop": "2", "TE": "trailers"}
        )
        assert sent(answer, "x-mine") == ["1"]
        for name in ("x-hop", "te", "connection"):
            assert sent(answer, name) == []

    play(world.alone("a"), scene)


def test_forwarded_for_grows(play, world):
    async def scene(site):
        assert sent(await ask(site), "x-forwarded-for") == ["127.0.0.1"]
        answer = await ask(site, {"X-Forwarded-For": "10.1.1.1"})
        assert sent(answer, "x-forwarded-for") == ["10.1.1.1", "127.0.0.1"]

    play(world.alone("a"), scene)


def test_an_engine_is_asked_for_encodings_that_the_books_can_read(play, world):
    wish = {"Accept-Encoding": "gzip, br, zstd"}

    async def scene(site):
        assert sent(await ask(site, wish), "accept-encoding") == ["gzip"]
        inside = await site.http.post(f"/upstream/a{CHAT}", json={}, headers=wish)
        assert sent(inside, "accept-encoding") == ["gzip"]
        page = await site.http.get("/upstream/a/page", headers=wish)
        assert sent(page, "accept-encoding") == [wish["Accept-Encoding"]]

    play(world.alone("a"), scene)


@pytest.mark.parametrize("path", [CHAT, "/upstream/a/x"])
def test_a_request_id_is_kept_or_made(both, world, path):
    async def scene(site):
        answer = await site.http.post(path, json={"model": "a"}, headers={"X-Request-Id": "my-1"})
        assert answer.headers["x-request-id"] == "my-1"
        ids = set()
        for given in (None, "", "a b", "ü", "x" * 129):
            headers = {"X-Request-Id": given.encode()} if given is not None else {}
            answer = await site.http.post(path, json={"model": "a"}, headers=headers)
            assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
            ids.add(answer.headers["x-request-id"])
        assert len(ids) == 5

    both(world.alone("a"), scene)


@pytest.mark.parametrize("path", [CHAT, "/nothing", "/v1/models/nobody", "/upstream/nobody/x"])
def test_a_request_id_in_a_failure(both, world, path):
    async def scene(site):
        answer = await site.http.post(path, json={}, headers={"X-Request-Id": "my-1"})
        assert answer.status_code >= 400
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "my-1"
        answer = await site.http.post(path, json={}, headers={"X-Request-Id": "a b"})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] != "a b"

    both(world.alone("a"), scene)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("HEAD", CHAT, "POST"),
        ("DELETE", "/v/chat/completions", "POST"),
        ("PUT", "/v1/audio/voices", "GET, HEAD, POST"),
        ("POST", "/props", "GET, HEAD"),
        ("PUT", "/rerank", "POST"),
    ],
)
def test_a_model_route_with_another_method(both, world, method, path, allowed):
    async def scene(site):
        answer = await site.http.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed

    both(world.alone("a"), scene)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b"{}", 400, "model_required"),
        (b'{"model":"nobody"}', 404, "model_not_found"),
        (b'{"model":"active"}', 404, "model_not_found"),
    ],
)
def test_a_body_that_cannot_be_served(both, world, body, status, code):
    async def scene(site):
        answer = await site.http.post(CHAT, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        answer = await site.http.post("/v1/messages", content=body)
        assert (answer.status_code, answer.json()["type"]) == (status, "error")

    both(world.alone("a"), scene)


def test_a_query_route_and_its_head(play, world):
    async def scene(site):
        answer = await site.http.get("/props?model=a&x=%2F")
        assert answer.json()["target"] == "/props?model=a&x=%2F"
        assert (await site.http.head("/props?model=a")).status_code == 200
        head = await site.http.head("/props?model=nobody")
        assert (head.status_code, head.content) == (404, b"")
        assert (await site.http.get("/props?model=a")).status_code == 200

    play(world.alone("a"), scene)


def test_a_load_that_failed_says_why_and_when_to_come_back(both, world):
    async def scene(site):
        site.house.processes.problems["a"] = LoadFailed("no such file", log_tail=["boom"])
        answer = await ask(site)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_load_failed"
        assert answer.headers["retry-after"] == "1"

    both(world.alone("a"), scene)


@pytest.mark.parametrize("size", [5 * 2**20, 40 * 2**20])
def test_a_long_body_goes_by_disk_and_is_let_go(play, world, size):
    async def scene(site):
        content = b'{"model":"a","x":"' + b"y" * size + b'"}'
        answer = await site.http.post(CHAT, content=content)
        assert answer.json()["size"] == len(content)

    play(world.alone("a"), scene)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit(play, world, declared):
    async def scene(site):
        content = b'{"model":"a","x":"' + b"y" * 2**20 + b'"}'

        async def pieces():
            for start in range(0, len(content), 2**16):
                yield content[start : start + 2**16]

        answer = await site.http.post(CHAT, content=content if declared else pieces())
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
        assert (await ask(site)).status_code == 200
        assert len(site.house.machine.facts) <= 5

    play(world.alone("a", more="maxBody: 1MiB\n"), scene)


# --- clients that leave ---


def test_leaving_while_waiting_for_room(play, world, caplog):
    async def scene(site):
        house = site.house
        async with house.using("b"):
            asking = asyncio.create_task(ask(site))
            await house.until(lambda: house.machine.waiting("a"))
            asking.cancel()
            await house.until(lambda: not house.machine.waiting("a"))
            await asyncio.wait([asking])

    play(world.alone("a", "b"), scene)
    assert [record for record in caplog.records if record.levelno >= 30] == []


def test_leaving_while_being_served_hangs_up_on_the_engine(play, world, caplog):
    async def scene(site):
        house = site.house
        await house.use("a")
        site.echo.gate.clear()
        asking = asyncio.create_task(ask(site))
        await site.echo.asked.wait()
        assert house.machine.in_flight("a") == 1
        asking.cancel()
        await site.echo.left.wait()
        await house.until(lambda: not house.machine.in_flight("a"))
        await asyncio.wait([asking])

    play(world.alone("a"), scene)
    assert [record for record in caplog.records if record.levelno >= 30] == []


def test_leaving_in_the_middle_of_the_body(play, world, caplog):
    async def scene(site):
        host, port = site.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{" % CHAT.encode())
        await writer.drain()
        assert (await ask(site)).status_code == 200
        writer.close()
        await writer.wait_closed()
        assert (await ask(site)).status_code == 200

    play(world.alone("a"), scene)
    assert [record for record in caplog.records if record.levelno >= 30] == []


def test_a_client_that_is_gone_when_its_failure_is_told(world, run_plain):
    """ASGI 2.4 servers raise OSError from `send` then."""

    async def scene(app):
        async def receive():
            return {"type": "http.request", "body": b"{"}

        async def send(message):
            raise OSError("gone")

        scope = {
            "type": "http",
            "method": "POST",
            "path": CHAT,
            "raw_path": CHAT.encode(),
            "query_string": b"",
            "headers": [],
            "client": None,
        }
        await app(scope, receive, send)

    run_plain(world.alone("a"), scene)


@pytest.fixture
def run_plain(play):
    def go(text, scene):
        async def inner(site):
            await scene(site.app)

        play(text, inner, plain=True)

    return go


# --- defects ---


@pytest.mark.parametrize("path", [CHAT, "/upstream/a/x"])
def test_a_defect_is_a_500_with_a_request_id_and_nothing_of_its_own(
    both, world, monkeypatch, caplog, path
):
    async def broken(*args, **kwargs):
        raise RuntimeError("secret: /home/me")

    monkeypatch.setattr(Inference, "relayed", broken)

    async def scene(site):
        answer = await site.http.post(path, json={"model": "a"}, headers={"X-Request-Id": "my-1"})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert "my-1" in answer.json()["error"]["message"]
        assert "secret" not in answer.text

    both(world.alone("a"), scene)
    assert "secret: /home/me" in caplog.text
    assert "my-1" in caplog.text


def test_a_defect_in_the_middle_of_an_answer_cuts_it(play, world, monkeypatch, caplog):
    import httpx

    async def broken(self, target, path, call, send, client):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("secret")

    monkeypatch.setattr(Inference, "relayed", broken)

    async def scene(site):
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(site)

    play(world.alone("a"), scene)
    assert "cut in the middle" in caplog.text


# --- what is no HTTP request ---


def test_a_lifespan_is_left_alone(play, world):
    async def scene(site):
        async def never(*args):
            raise AssertionError

        await site.app({"type": "lifespan"}, never, never)

    play(world.alone("a"), scene, plain=True)

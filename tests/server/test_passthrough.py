"""`/upstream/{model}/{path}`: where the model's name ends, and that the rest reaches the engine as it was written."""

from __future__ import annotations

import asyncio

import pytest

MODELS = ("a", "org/a", "org/a/b", "ünï: {aliases: [nick/name]}")


async def raw(site, line, *headers):
    """Ask with exactly this request line, which a client library might tidy up; status, headers, body."""
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        "\r\n".join([f"{line} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode()
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    named = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return int(status.split()[1]), named, body


@pytest.mark.parametrize(
    ("path", "model", "target"),
    [
        ("/upstream/a/", "a", "/"),
        ("/upstream/a/v1/chat?x=1&y=%2F", "a", "/v1/chat?x=1&y=%2F"),
        ("/upstream/org/a/v1", "org/a", "/v1"),
        ("/upstream/org/a/b/v1", "org/a/b", "/v1"),
        ("/upstream/org/a/c", "org/a", "/c"),
        ("/upstream/org%2Fa/v1", "org/a", "/v1"),
        ("/upstream/org%2fa%2Fb/v1", "org/a/b", "/v1"),
        ("/upstream/nick/name/x", "ünï", "/x"),
        ("/upstream/%C3%BCn%C3%AF/x", "ünï", "/x"),
        ("/upstream/a/x%2Fy", "a", "/x%2Fy"),
        ("/upstream/a/x%252Fy", "a", "/x%252Fy"),
        ("/upstream/a/caf%C3%A9/%20?q=%C3%A9+%26", "a", "/caf%C3%A9/%20?q=%C3%A9+%26"),
        ("/upstream/a//x//", "a", "//x//"),
        ("/upstream/a/../etc", "a", "/../etc"),
        ("/upstream/a/load/", "a", "/load/"),
        ("/upstream/a/upstream/b/x", "a", "/upstream/b/x"),
    ],
)
def test_the_model_and_the_rest(play, world, path, model, target):
    async def scene(site):
        import json

        status, headers, body = await raw(site, f"GET {path}")
        assert status == 200
        assert json.loads(body)["target"] == target
        assert headers["x-corral-model"].encode("latin-1", "replace") is not None
        assert site.house.engine.last_used == model

    play(world.together(*MODELS), scene)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "REPORT"])
def test_any_method_with_any_body(both, world, method):
    async def scene(site):
        answer = await site.http.request(method, "/upstream/a/x", content=b"\x00\xff")
        assert answer.json()["method"] == method
        assert answer.json()["body"] == "\x00\xff"
        assert answer.headers["x-corral-model"] == "a"

    both(world.alone("a: {useModelName: other}"), scene)


def test_a_head_reaches_the_engine(play, world):
    async def scene(site):
        answer = await site.http.head("/upstream/a/x")
        assert answer.status_code == 200
        assert answer.content == b""
        assert int(answer.headers["content-length"]) > 0
        assert (await site.http.get("/upstream/a/y")).json()["target"] == "/y"

    play(world.alone("a"), scene)


def test_the_bodys_own_model_is_left_alone(both, world):
    async def scene(site):
        answer = await site.http.post("/upstream/a/v1/chat/completions", json={"model": "z"})
        assert answer.json()["body"] == '{"model":"z"}'

    both(world.alone("a: {useModelName: other}", "z"), scene)


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("REPORT", 308)],
)
@pytest.mark.parametrize("name", ["a", "org/a", "org%2Fa", "%C3%BCn%C3%AF"])
def test_without_a_slash_it_is_redirected(play, world, method, status, name):
    async def scene(site):
        for query in ("", "?x=1&y=%2F%26"):
            seen, headers, _ = await raw(site, f"{method} /upstream/{name}{query}")
            assert (seen, headers["location"]) == (status, f"/upstream/{name}/{query}")
        assert site.house.machine.facts == []

    play(world.together(*MODELS), scene)


@pytest.mark.parametrize("path", ["", "nobody", "nobody/x", "/a/x", "a%2F/x", "A/x", "active/x"])
def test_nobody_by_that_name(both, world, path):
    async def scene(site):
        answer = await site.http.get(f"/upstream/{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]

    both(world.alone("a", "org/a"), scene)


def test_a_failure_has_the_shape_of_the_route_below(both, world):
    async def scene(site):
        from corral.errors import LoadFailed

        site.house.processes.problems["a"] = LoadFailed("no such file")
        answer = await site.http.post("/upstream/a/v1/messages", json={})
        assert answer.status_code == 503
        assert answer.json()["type"] == "error"
        answer = await site.http.post("/upstream/a/whatever", json={})
        assert answer.json()["error"]["code"] == "model_load_failed"

    both(world.alone("a"), scene)

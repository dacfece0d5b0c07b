"""The routes for people and tools: what each answers, to every method, and what load and unload do in all their spellings."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral import __version__
from corral.errors import LoadFailed
from corral.gateway.gateway import Gateway
from corral.server import admin, wishes


def error(answer):
    """What the answer complains of, in OpenAI's shape, with the request id in both places."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    return body["error"]


ROUTES = [
    ("/v1/models", "GET, HEAD"),
    ("/models", "GET, HEAD"),
    ("/v1/models/org/a", "GET, HEAD"),
    ("/favicon.ico", "GET, HEAD"),
    ("/ui", "GET, HEAD"),
    ("/ui/models", "GET, HEAD"),
    ("/health", "GET, HEAD"),
    ("/wol-health", "GET, HEAD"),
    ("/running", "GET, HEAD"),
    ("/api/models", "GET, HEAD"),
    ("/api/models/org/a", "GET, HEAD"),
    ("/api/models/load/org/a", "POST"),
    ("/api/models/unload", "POST"),
    ("/api/models/unload/org/a", "POST"),
    ("/unload", "GET, HEAD, POST"),
    ("/api/version", "GET, HEAD"),
    ("/logs", "GET, HEAD"),
    ("/logs/org/a", "GET, HEAD"),
    ("/", "GET, HEAD"),
]


def test_every_route_answers_its_methods_and_refuses_the_others(both, world):
    async def scene(site):
        for path, allowed in ROUTES:
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "REPORT"):
                answer = await site.http.request(method, path)
                if method in allowed.split(", "):
                    assert answer.status_code == 200, (method, path)
                else:
                    assert answer.status_code == 405, (method, path)
                    assert answer.headers["allow"] == allowed
                    assert method == "HEAD" or error(answer)["code"] == "method_not_allowed"

    both(world.alone("org/a"), scene)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/v2/models", "/health/", "/unload/", "/api", "/v1", "/%00<b>"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_there_is_404_in_the_clients_shape(both, world, method, path):
    async def scene(site):
        answer = await site.http.request(method, path)
        assert answer.status_code == 404
        assert error(answer)["code"] == "not_found"

    both(world.alone("a"), scene)


def test_a_head_is_the_get_without_its_body(play, world):
    async def scene(site):
        for path in ("/v1/models", "/health", "/api/version", "/", "/nothing"):
            get, head = await site.http.get(path), await site.http.head(path)
            assert head.status_code == get.status_code
            assert head.content == b""
            assert head.headers["content-length"] == get.headers["content-length"]

    play(world.alone("a"), scene)


# --- state ---


def test_health(both, world):
    async def scene(site):
        async def health():
            return (await site.http.get("/health")).json()

        async def standing():
            return (await site.http.get("/admin/state")).json()

        states = {"a": "unloaded", "b": "unloaded"}
        assert await health() == await standing() | {"status": "ok", "models": states}
        await site.house.use("b")
        states = {"a": "unloaded", "b": "ready"}
        assert await health() == await standing() | {"status": "ok", "models": states}
        assert (await health())["active_model"] == "b"
        async with site.house.using("b"):
            closing = await site.house.begin(site.house.engine.close(asyncio.Event(), 20))
            assert (await site.http.get("/health")).json()["status"] == "stopping"
        await closing

    both(world.alone("a", "b"), scene)


def test_running(both, world):
    async def scene(site):
        assert (await site.http.get("/running")).json() == {"running": []}
        await asyncio.gather(site.house.use("b"), site.house.use("a"))
        ready = {"state": "ready", "ttl": 0, "name": "", "description": ""}
        assert (await site.http.get("/running")).json()["running"] == [
            {"model": "a", "cmd": "serve a", "proxy": "http://a", **ready},
            {"model": "b", "cmd": "serve b", "proxy": "http://b", **ready},
        ]
        names = {"running": ["a", "b"]}
        assert (await site.http.get("/running?format=names")).json() == names

    both(world.together("b", "a"), scene)


def test_running_under_the_guides_format_is_names(both, world):
    async def scene(site):
        await site.house.use("a")
        assert (await site.http.get("/running")).json() == {"running": ["a"]}

    both(world.alone("a", more="format: guide\n"), scene)


def test_the_full_state(both, world):
    async def scene(site):
        await site.house.use("a")
        every = (await site.http.get("/api/models")).json()["models"]
        assert [one["id"] for one in every] == ["b", "a"]
        one = (await site.http.get("/api/models/x")).json()
        assert (one["id"], one["state"], one["pid"]) == ("a", "ready", 4000)
        answer = await site.http.get("/api/models/nobody")
        assert error(answer)["code"] == "model_not_found"

    both(world.alone("b", "a: {aliases: [x]}"), scene)


def test_version(both, world):
    async def scene(site):
        answer = (await site.http.get("/api/version")).json()
        assert answer == {"version": __version__, "commit": "", "build_date": ""}

    both(world.alone("a"), scene)


# --- load ---


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models/load/org/a"),
        ("POST", "/api/models/load/x"),
        ("POST", "/upstream/org/a/load"),
        ("POST", "/upstream/org%2Fa/load"),
        ("POST", "/upstream/x/load"),
    ],
)
def test_load_answers_when_it_is_ready(both, world, method, path):
    async def scene(site):
        answer = await site.http.request(method, path)
        assert answer.status_code == 200
        assert set(answer.json()) == {"msg", "model", "load_ms", "queue_ms"}
        assert answer.json()["model"] == "org/a"
        assert site.house.processes.running == {"org/a"}
        again = (await site.http.request(method, path)).json()
        assert again["load_ms"] == 0

    both(world.alone("org/a: {aliases: [x]}"), scene)


def test_the_guides_get_loads(both, world):
    async def scene(site):
        assert (await site.http.get("/upstream/a/load")).json()["model"] == "a"
        assert site.house.machine.in_flight("a") == 0

    both(world.alone("a", more="format: guide\n"), scene)


def test_elsewhere_a_get_of_load_is_the_engines(both, world):
    async def scene(site):
        assert (await site.http.get("/upstream/a/load")).json()["target"] == "/load"

    both(world.alone("a"), scene)


@pytest.mark.parametrize("path", ["/api/models/load/a", "/upstream/a/load"])
def test_load_says_why_it_failed(both, world, path):
    async def scene(site):
        site.house.processes.problems["a"] = LoadFailed("no such file", log_tail=["boom"])
        answer = await site.http.post(path)
        assert answer.status_code == 503
        assert error(answer)["code"] == "model_load_failed"
        assert error(answer)["log"] == ["boom"]
        assert answer.headers["retry-after"] == "1"

    both(world.alone("a"), scene)


@pytest.mark.parametrize("path", ["/api/models/load/nobody", "/upstream/nobody/load"])
def test_load_of_nobody(both, world, path):
    async def scene(site):
        answer = await site.http.post(path)
        assert answer.status_code == 404
        assert error(answer)["code"] == "model_not_found"

    both(world.alone("a"), scene)


def test_load_without_waiting(both, world, caplog):
    async def scene(site):
        site.house.obey()
        answer = await site.http.post("/api/models/load/a?wait=false")
        assert answer.status_code == 202
        assert answer.json() == {"msg": "loading", "model": "a"}
        await site.house.loading("a")
        site.house.processes.exit("a")
        await site.house.until(lambda: "nobody waits for it" in caplog.text)

    both(world.alone("a"), scene)


def test_many_load_calls_are_one_load(both, world):
    async def scene(site):
        answers = await asyncio.gather(
            *(site.http.post("/api/models/load/a") for _ in range(20)),
        )
        assert {answer.status_code for answer in answers} == {200}
        assert site.house.processes.orders == [("start", "a")]

    both(world.alone("a"), scene)


@pytest.mark.parametrize("path", ["/api/models/load/b", "/upstream/b/load"])
def test_a_client_that_leaves_while_its_load_waits_for_room_is_forgotten(play, world, path):
    async def scene(site):
        house = site.house
        async with house.using("a"):
            asking = asyncio.create_task(site.http.post(path))
            await house.until(lambda: house.machine.waiting("b"))
            asking.cancel()
            await house.until(lambda: not house.machine.waiting("b"))
            await asyncio.wait([asking])
        assert ("start", "b") not in house.processes.orders

    play(world.alone("a", "b"), scene)


def test_a_client_that_leaves_during_its_load_does_not_end_it(play, world, caplog):
    async def scene(site):
        house = site.house
        house.obey()
        asking = asyncio.create_task(site.http.post("/api/models/load/a"))
        await house.loading("a")
        asking.cancel()
        await house.until(lambda: not house.machine.waiting("a"))
        await asyncio.wait([asking])
        house.processes.ready("a")
        assert (await site.http.get("/running?format=names")).json() == {"running": ["a"]}

    play(world.alone("a"), scene)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# --- unload ---


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/models/unload/org/a", "OK"),
        ("POST", "/api/models/unload/x", "OK"),
        ("POST", "/api/models/unload", {"msg": "ok"}),
        ("DELETE", "/upstream/org/a", "OK"),
        ("DELETE", "/upstream/org/a/", "OK"),
        ("DELETE", "/upstream/org%2Fa", "OK"),
        ("GET", "/unload", "OK"),
        ("POST", "/unload", "OK"),
    ],
)
def test_unload_answers_when_it_is_gone(both, world, method, path, body):
    async def scene(site):
        await site.house.use("org/a")
        site.house.obey()
        asking = asyncio.create_task(site.http.request(method, path))
        await site.house.until(lambda: site.house.machine.state("org/a") == "unloading")
        assert not asking.done()
        site.house.processes.exit("org/a")
        answer = await asking
        assert answer.status_code == 200
        assert (answer.json() if isinstance(body, dict) else answer.text) == body
        assert (await site.http.request(method, path)).status_code == 200

    both(world.alone("org/a: {aliases: [x]}"), scene)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/models/unload/a?force=true", "native"),
        ("POST", "/api/models/unload?force=true", "native"),
        ("GET", "/unload?force=TRUE", "native"),
        ("DELETE", "/upstream/a", "guide"),
    ],
)
def test_force_does_not_drain(both, world, method, path, kind):
    async def scene(site):
        async with site.house.using("a"):
            answer = await site.http.request(method, path)
            assert answer.status_code == 200
            assert site.house.processes.running == set()

    both(world.alone("a", more=f"format: {kind}\n"), scene)


@pytest.mark.parametrize("path", ["/api/models/unload/a", "/api/models/unload?force=false"])
def test_without_force_it_drains(both, world, path):
    async def scene(site):
        async with site.house.using("a"):
            asking = asyncio.create_task(site.http.post(path))
            await site.house.until(lambda: site.house.machine.state("a") == "draining")
            assert site.house.processes.running == {"a"}
        assert (await asking).status_code == 200

    both(world.alone("a"), scene)


def test_unload_of_nobody(both, world):
    async def scene(site):
        for method, path in (
            ("POST", "/api/models/unload/nobody"),
            ("DELETE", "/upstream/nobody"),
        ):
            answer = await site.http.request(method, path)
            assert answer.status_code == 404
            assert error(answer)["code"] == "model_not_found"

    both(world.alone("a"), scene)


# --- checking a configuration ---


def test_a_good_configuration(both, world):
    async def scene(site):
        text = "models: {q: {cmd: serve q, proxy: 'http://127.0.0.1:1'}}"
        answer = await site.http.post("/api/config/check", content=text)
        assert (answer.status_code, answer.json()["models"]) == (200, ["q"])
        assert answer.json()["ok"] is True
        assert list(site.house.config.models) == ["a"]

    both(world.alone("a"), scene)


def test_a_bad_configuration_hears_of_every_problem(both, world):
    async def scene(site):
        text = "models:\n  q: {cmdd: x}\n  r: {ttl: soon, cmd: x}\nlogLevel: loud\n"
        answer = await site.http.post("/api/config/check?name=mine.yaml", content=text)
        assert answer.status_code == 422
        problems = error(answer)["problems"]
        assert {problem["file"] for problem in problems} == {"mine.yaml"}
        assert [problem["line"] for problem in problems] == sorted(p["line"] for p in problems)
        assert len(problems) >= 3

    both(world.alone("a"), scene)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- 1", b"a: &a [*a]", b"{" * 5000])
def test_what_is_no_configuration_at_all(both, world, content):
    async def scene(site):
        answer = await site.http.post("/api/config/check", content=content)
        assert answer.status_code == 422
        assert error(answer)["code"] == "invalid_config"

    both(world.alone("a"), scene)


def test_toml_by_its_name(both, world):
    async def scene(site):
        text = "[models.q]\ncmd = 'serve q'\nproxy = 'http://127.0.0.1:1'\n"
        answer = await site.http.post("/api/config/check?name=c.toml", content=text)
        assert answer.json()["models"] == ["q"]

    both(world.alone("a"), scene)


def test_a_configuration_that_is_too_long(both, world):
    async def scene(site):
        content = b"#" * (wishes.LONGEST + 1)
        answer = await site.http.post("/api/config/check", content=content)
        assert answer.status_code == 413
        assert error(answer)["code"] == "body_too_large"

    both(world.alone("a"), scene)


def test_a_check_does_not_read_the_environment_to_whoever_asks(both, world):
    environment = {"TOKEN": "hunter2", "PIN": "4711", "EMPTY": ""}

    async def scene(site):
        text = (
            "models:\n  ${env.TOKEN}: {cmd: x, ttl: ${env.PIN}, proxy: 'http://127.0.0.1:1'}\n"
            "logLevel: ${env.TOKEN}\n"
        )
        answer = await site.http.post("/api/config/check", content=text)
        assert answer.status_code == 422  # for the level alone
        assert len(error(answer)["problems"]) == 1
        text = text.split("logLevel", maxsplit=1)[0]
        answer = await site.http.post("/api/config/check", content=text)
        assert answer.json()["models"] == ["TOKEN"]
        text = "models: {q: {cmd: '${env.NOT_SET}'}}"
        missing = await site.http.post("/api/config/check", content=text)
        assert "NOT_SET" in error(missing)["problems"][0]["message"]
        for seen in (answer, missing):
            assert "hunter2" not in seen.text
            assert "4711" not in seen.text

    both(world.alone("a"), scene, environment=environment)


def test_the_loop_goes_on_while_a_configuration_is_checked(both, world, monkeypatch):
    """The check waits, in its thread, for a request that is only answered meanwhile."""
    import threading

    answered = threading.Event()
    load = admin.load

    def patient(*args):
        assert answered.wait(world.BOUND)
        return load(*args)

    monkeypatch.setattr(admin, "load", patient)

    async def scene(site):
        checking = asyncio.create_task(site.http.post("/api/config/check", content="models: {}"))
        assert (await site.http.get("/health")).status_code == 200
        answered.set()
        assert (await checking).status_code in (200, 422)

    both(world.alone("a"), scene)


# --- defects ---


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/models/load/a"), ("POST", "/upstream/a/load")],
)
def test_a_defect_is_a_500_with_a_request_id_and_nothing_of_its_own(
    both, world, monkeypatch, caplog, method, path
):
    async def broken(self, model):
        raise RuntimeError("secret: /home/me")

    monkeypatch.setattr(Gateway, "loaded", broken)

    async def scene(site):
        answer = await site.http.request(method, path, headers={"X-Request-Id": "mine-1"})
        assert answer.status_code == 500
        assert error(answer)["code"] == "internal_error"
        assert "mine-1" in error(answer)["message"]
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        again = await site.http.get("/health")  # on the same connection
        assert again.status_code == 200

    both(world.alone("a"), scene)
    logged = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(logged) == 1
    assert "mine-1" in logged[0].getMessage()
    assert "secret: /home/me" in caplog.text


def test_a_client_that_leaves_while_it_posts_a_configuration(play, world, caplog):
    async def scene(site):
        host, port = site.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"POST /api/config/check HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nmodels:"
        )
        await writer.drain()
        assert (await site.http.get("/health")).status_code == 200
        writer.close()
        await writer.wait_closed()
        assert (await site.http.get("/health")).status_code == 200

    play(world.alone("a"), scene)
    assert [record for record in caplog.records if record.levelno >= 30] == []


def test_names_that_are_hard_to_write(both, world):
    names = ["ünï/cödé", "a b", "50%", "q?x#y", "load/a"]

    async def scene(site):
        from urllib.parse import quote

        for name in names:
            answer = await site.http.get(f"/v1/models/{quote(name, safe='')}")
            assert answer.json()["id"] == name
            assert (await site.http.get(f"/api/models/{quote(name, safe='')}")).status_code == (
                405 if name.startswith("load/") else 200
            )

    config = json.dumps(
        {"models": {name: {"cmd": "x", "proxy": "http://127.0.0.1:1"} for name in names}}
    )
    both(config, scene)

"""WebSockets through the whole HTTP face: a request like any other for the scheduler, and what is refused before it begins."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from corral.errors import Cancelled
from corral.scheduler.events import Arrived, Checked
from corral.scheduler.machine import State


class Engine:
    """A real WebSocket server that says where it was asked, then repeats what it hears."""

    def __init__(self):
        self.asked = []
        self.open = 0
        self.closed = asyncio.Event()

    async def __call__(self, connection):
        self.open += 1
        request = connection.request
        self.asked.append(request)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(request.path)
            async for message in connection:
                await connection.send(message)
        self.open -= 1
        self.closed.set()


@contextlib.asynccontextmanager
async def engine():
    handler = Engine()
    async with serve(handler, "127.0.0.1", 0) as server:
        handler.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield handler


def opened(site, path, **options):
    return connect(site.url.replace("http", "ws") + path, proxy=None, **options)


async def refused(site, path, **options):
    """The status and the error of a WebSocket that is not let through."""
    with pytest.raises(InvalidStatus) as no:
        await opened(site, path, **options)
    answer = no.value.response
    assert answer.headers["connection"] == "close"
    return answer.status_code, json.loads(answer.body)["error"]


@pytest.fixture
def scene_with_engine(play):
    """`go(config, scene)`: `scene(site, engine)`; every model's engine speaks WebSocket."""

    def go(text, scene, **options):
        async def whole(site):
            async with engine() as far:
                site.echo.url = far.url
                await scene(site, far)

        play(text, whole, **options)

    return go


def test_it_starts_the_model_and_holds_it(scene_with_engine, world):
    async def scene(site, far):
        machine = site.house.machine
        async with opened(site, "/upstream/a/v1/realtime?x=%2F") as tunnel:
            answer = tunnel.response
            assert answer.headers["x-corral-model"] == "a"
            assert answer.headers["x-request-id"]
            assert await tunnel.recv() == "/v1/realtime?x=%2F"
            await tunnel.send("hello")
            assert await tunnel.recv() == "hello"
            assert machine.in_flight("a") == 1
            assert site.house.engine.last_used == "a"
            assert [one.path for one in site.house.gateway.ledger.in_flight.values()] == [
                "/v1/realtime"
            ]
            waiting = asyncio.create_task(site.http.get("/upstream/b/x"))
            await site.house.until(lambda: machine.of(Arrived)[-1].model == "b")
            await site.house.until(lambda: machine.of(Checked)[-1].model == "b")
            await tunnel.send("still here")
            assert await tunnel.recv() == "still here"
        await asyncio.wait([waiting])
        assert machine.state("a") is State.UNLOADED

    scene_with_engine(world.alone("a", "b"), scene)


def test_a_forced_unload_ends_it(scene_with_engine, world):
    async def scene(site, far):
        async with opened(site, "/upstream/a/ws") as tunnel:
            await tunnel.recv()
            upstream = site.house.processes.upstream("a")
            site.house.obey()
            unloading = asyncio.create_task(
                site.http.post("/api/models/unload/a", params={"force": "true"})
            )
            await site.house.until(lambda: site.house.processes.orders[-1][:2] == ("stop", "a"))
            await upstream.aclose()  # as the end of its process does
            site.house.processes.exit("a")
            assert (await unloading).status_code == 200
            with pytest.raises(ConnectionClosed):
                await tunnel.recv()
            await far.closed.wait()
        assert site.house.machine.in_flight("a") == 0

    scene_with_engine(world.alone("a"), scene)


def test_an_unload_waits_for_it(scene_with_engine, world):
    async def scene(site, far):
        async with opened(site, "/upstream/a/ws") as tunnel:
            await tunnel.recv()
            unloading = asyncio.create_task(site.http.post("/api/models/unload/a"))
            await site.house.until(
                lambda: site.house.machine.state("a") is not State.READY or unloading.done()
            )
            await tunnel.send("x")
            assert await tunnel.recv() == "x"
        assert (await unloading).status_code == 200

    scene_with_engine(world.alone("a"), scene)


def test_cancelled_it_is_cut(scene_with_engine, world):
    async def scene(site, far):
        async with opened(site, "/upstream/a/ws") as tunnel:
            await tunnel.recv()
            (exchange,) = site.house.gateway.ledger.in_flight.values()
            exchange.cancel(Cancelled("this request was cancelled"))
            with pytest.raises(ConnectionClosed):
                await tunnel.recv()
        await far.closed.wait()
        await site.house.until(lambda: not site.house.machine.in_flight("a"))
        assert exchange.status == 101
        assert "cancelled" in exchange.error

    scene_with_engine(world.alone("a"), scene)


def test_a_client_that_leaves_while_the_model_loads(scene_with_engine, world):
    async def scene(site, far):
        site.house.obey()
        opening = asyncio.create_task(opened(site, "/upstream/a/ws").__aenter__())
        await site.house.loading("a")
        opening.cancel()
        await asyncio.wait([opening])
        await site.house.until(lambda: not site.house.engine._leases)
        assert far.asked == []

    scene_with_engine(world.alone("a"), scene)


def test_with_ignored_websockets_it_wakes_nothing_and_holds_nothing(scene_with_engine, world):
    async def scene(site, far):
        house = site.house
        status, error = await refused(site, "/upstream/a/ws")
        assert (status, error["code"]) == (409, "model_not_loaded")
        assert "ignoreWebsockets" in error["message"]
        assert house.machine.of(Arrived) == []
        await site.http.post("/api/models/load/a")
        async with opened(site, "/upstream/a/ws") as tunnel:
            await tunnel.recv()
            assert house.machine.in_flight("a") == 0
            used = house.engine.last_used
            async with opened(site, "/upstream/a/ws") as second:  # no slot either
                await second.recv()
            await house.engine.unload(["a"])
            assert house.engine.last_used == used
        assert house.machine.state("a") is State.UNLOADED

    scene_with_engine(
        world.alone("a: {compat: {ignoreWebsockets: true}, parallel: 1, concurrencyLimit: 1}"),
        scene,
    )


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/upstream/nobody/ws", {}, 404, "model_not_found"),
        ("/upstream/broken/ws", {}, 503, "model_load_failed"),
        ("/upstream/dead/ws", {}, 502, "upstream_unreachable"),
        ("/upstream/a/ws", {"Authorization": "Bearer wrong"}, 401, "unauthorized"),
        ("/nothing", {}, 404, "not_found"),
        ("/props?model=nobody", {}, 404, "model_not_found"),
    ],
)
def test_a_refusal_has_a_status_and_a_body(scene_with_engine, world, path, headers, status, code):
    async def scene(site, far):
        from corral.errors import LoadFailed

        site.house.processes.problems["broken"] = LoadFailed("no such file")
        if "dead" in path:
            site.echo.url = "http://127.0.0.1:1"
        seen, error = await refused(
            site, path, additional_headers={"Authorization": "Bearer k"} | headers
        )
        assert (seen, error["code"]) == (status, code)
        assert site.house.machine.in_flight("a") == 0

    scene_with_engine(world.together("a", "broken", "dead", more="apiKeys: [k]\n"), scene)


def test_the_key_stays_here(scene_with_engine, world):
    async def scene(site, far):
        key = {"Authorization": "Bearer k", "X-Mine": "1"}
        async with opened(site, "/upstream/a/ws", additional_headers=key) as tunnel:
            await tunnel.recv()
        (asked,) = far.asked
        assert "authorization" not in asked.headers
        assert asked.headers["x-mine"] == "1"
        assert asked.headers["host"] == site.url.removeprefix("http://")

    scene_with_engine(world.alone("a", more="apiKeys: [k]\n"), scene)


def test_a_route_that_names_its_model_in_the_query(scene_with_engine, world):
    async def scene(site, far):
        async with opened(site, "/v1/realtime?model=a&x=1") as tunnel:
            assert await tunnel.recv() == "/v1/realtime?model=a&x=1"

    scene_with_engine(world.alone("a"), scene)


def test_a_route_that_is_none_for_websockets_answers_in_http(scene_with_engine, world):
    async def scene(site, far):
        with pytest.raises(InvalidStatus) as no:
            await opened(site, "/health")
        assert no.value.response.status_code == 200

    scene_with_engine(world.alone("a"), scene)


def test_a_peers_websocket(scene_with_engine, world):
    async def scene(site, far):
        async with engine() as other:
            peers = f"peers: {{p: {{proxy: '{other.url}/base', models: [m], apiKey: s}}}}\n"
            await site.house.reload(world.alone("a") + peers)
            async with opened(site, "/upstream/p/m/ws?x=1") as tunnel:
                assert await tunnel.recv() == "/base/ws?x=1"
                assert tunnel.response.headers["x-corral-model"] == "p/m"
            (asked,) = other.asked
            assert asked.headers["authorization"] == "Bearer s"
            assert asked.headers["host"] == other.url.removeprefix("http://")
        assert far.asked == []

    scene_with_engine(world.alone("a"), scene)


def test_under_another_server_it_is_refused(play, world):
    async def scene(site):
        asked = {"Connection": "Upgrade", "Upgrade": "websocket"}
        answer = await site.http.get("/upstream/a/ws", headers=asked)
        assert answer.status_code == 501
        assert answer.json()["error"]["code"] == "websocket_unavailable"
        assert site.house.machine.of(Arrived) == []

    play(world.alone("a"), scene, plain=True)


@pytest.mark.parametrize("answers", [True, False])
def test_under_a_server_that_speaks_websocket_itself(play, world, answers):
    async def scene(site):
        sent = []

        async def send(message):
            sent.append(message)

        extensions = {"websocket.http.response": {}} if answers else {}
        scope = {"type": "websocket", "path": "/upstream/a/ws", "headers": []}
        await site.app(scope | {"extensions": extensions}, None, send)
        if answers:
            head, body = sent
            assert (head["type"], head["status"]) == ("websocket.http.response.start", 501)
            assert json.loads(body["body"])["error"]["code"] == "websocket_unavailable"
        else:
            (close,) = sent
            assert close["type"] == "websocket.close"
            assert "corral serve" in close["reason"]
            assert len(close["reason"].encode()) <= 123  # RFC 6455 5.5

    play(world.alone("a"), scene, plain=True)

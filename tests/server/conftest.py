"""The whole HTTP face over scripted processes and an engine that says what it was asked, under the real server and as plain ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from corral.host.upstream import Engine
from corral.server.app import App
from corral.server.listen import Server, bind

_spec = importlib.util.spec_from_file_location(
    "corral_tests_scripted", Path(__file__).parents[1] / "gateway" / "scripted.py"
)
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)


class Echo:
    """An engine on a real socket. It answers with what it was asked, and holds back while `gate` is closed."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def play(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(reader, writer)
        self.left.set()
        writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        length = re.search(r"content-length: (\d+)", head.decode("latin-1"))
        body = await reader.readexactly(int(length[1])) if length else b""
        self.asked.set()
        await self._opened(reader)
        headers = [field.split(": ", 1) for field in fields]
        said = {"method": method, "target": target, "headers": headers, "size": len(body)}
        if len(body) < 10_000:
            said["body"] = body.decode("latin-1")
        text = json.dumps(said).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(text), b"" if method == "HEAD" else text)
        )

    async def _opened(self, reader):
        """Until the gate opens; or the other side has left."""
        gate = asyncio.create_task(self.gate.wait(), name="the gate opens")
        gone = asyncio.create_task(reader.read(1), name="corral hangs up")
        await asyncio.wait({gate, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            gate.cancel()
            raise ConnectionError
        gone.cancel()
        await asyncio.wait([gone])


@contextlib.asynccontextmanager
async def echoing():
    echo, running = Echo(), set()

    async def play(reader, writer):
        running.add(asyncio.current_task())
        await echo.play(reader, writer)
        running.discard(asyncio.current_task())

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    echo.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield echo
    finally:
        server.close()
        if running:
            await asyncio.wait(running)


@contextlib.asynccontextmanager
async def served(app, tls=None):
    """The app under the real server; its URL, and the server to end it early with."""
    ready = asyncio.Event()
    with contextlib.ExitStack() as scope:
        sockets = [scope.enter_context(one) for one in bind("127.0.0.1", 0)]
        server = Server(app, tls, ready.set)
        serving = asyncio.create_task(server.serve(sockets), name="http")
        await ready.wait()
        scheme = "https" if tls else "http"
        server.url = f"{scheme}://127.0.0.1:{sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def standing(text, *, plain=False, tls=None, verify=True, **options):
    """A corral to talk to: `.http` a client, `.house` what is behind it, `.echo` the engine of every model."""
    async with contextlib.AsyncExitStack() as scope:
        echo = await scope.enter_async_context(echoing())

        def connect(model):
            upstream = Engine(echo.url, name=model)
            scope.push_async_callback(upstream.aclose)
            return upstream

        house = await scope.enter_async_context(
            scripted.open_house(text, connect=connect, clock=time.monotonic, **options)
        )
        app = App(house.gateway)
        server, transport, url = None, None, "http://corral"
        if plain:
            transport = httpx.ASGITransport(app)
        else:
            server = await scope.enter_async_context(served(app, tls))
            url = server.url
        http = httpx.AsyncClient(
            base_url=url, transport=transport, timeout=scripted.BOUND, verify=verify
        )
        await scope.enter_async_context(http)
        yield SimpleNamespace(http=http, house=house, echo=echo, app=app, server=server, url=url)


@pytest.fixture
def peer():
    """`async with peer() as far`: another machine, at `far.url`."""
    return echoing


@pytest.fixture
def world():
    """The module `scripted`."""
    return scripted


@pytest.fixture
def alone(world):
    """`alone(*models)`: a configuration in which one of them runs at a time."""
    return world.alone


def bounded(play):
    async def whole():
        async with asyncio.timeout(scripted.BOUND):
            await play
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=1)
        assert [task for task in left if not task.done()] == []

    asyncio.run(whole())


@pytest.fixture
def play(tmp_path):
    """`play(config, scene)`: run `scene(site)` against a corral under the real server."""

    def go(text, scene, **options):
        async def whole():
            async with standing(text, folder=tmp_path, **options) as site:
                await scene(site)

        bounded(whole())

    return go


@pytest.fixture(params=["uvicorn", "plain"])
def both(request, play):
    """As `play`, under the real server and as plain ASGI."""

    def go(text, scene, **options):
        play(text, scene, plain=request.param == "plain", **options)

    return go

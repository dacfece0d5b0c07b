"""The scripted world keeps the contracts of the real one: each play here runs on both."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import SimpleNamespace

import pytest

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed, UpstreamUnreachable
from corral.gateway.ports import Outgoing
from corral.host.spool import Spool
from corral.host.supervisor import Supervisor
from corral.host.upstream import Engine

WAITS = (sys.executable, "-S", "-c", "import signal; signal.pause()")
ENDS = (sys.executable, "-S", "-c", "import sys; sys.exit(3)")


class Reports:
    def __init__(self):
        self.all = []
        self._news = asyncio.Queue()

    def ready(self, model):
        self._add(("ready", model))

    def exited(self, model, reason):
        self._add(("exited", model, type(reason)))

    def _add(self, report):
        self.all.append(report)
        self._news.put_nowait(report)

    async def next(self):
        return await self._news.get()


@contextlib.asynccontextmanager
async def scripted_world(world, folder):
    processes = world.Processes(["a", "gone", "brief"])
    processes.obedient -= {"brief"}
    processes.problems["gone"] = LoadFailed("no such program")
    processes.reports = Reports()
    crash = lambda: (processes.ready("brief"), processes.exit("brief"))  # noqa: E731
    yield SimpleNamespace(processes=processes, reports=processes.reports, crash=crash)


@contextlib.asynccontextmanager
async def real_world(world, folder):
    reports = Reports()
    specs = {
        "a": LaunchSpec("a", WAITS, "http://127.0.0.1:1", check=None),
        "gone": LaunchSpec("gone", ("no-such-program-anywhere",), "http://127.0.0.1:1"),
        "brief": LaunchSpec("brief", ENDS, "http://127.0.0.1:1", check=None),
    }
    connect = lambda proxy, model: Engine(proxy, name=model)  # noqa: E731
    async with Supervisor(
        specs, reports, upstream_factory=connect, runtime_dir=folder
    ) as processes:
        yield SimpleNamespace(processes=processes, reports=reports, crash=lambda: None)


@pytest.fixture(params=[scripted_world, real_world], ids=["scripted", "real"])
def both(request, world, run, tmp_path):
    def go(scene):
        async def whole():
            async with request.param(world, tmp_path) as one:
                await scene(one.processes, one.reports, one)

        run(whole())

    return go


def test_start_reports_later_and_once(both):
    async def scene(processes, reports, _):
        processes.start("a")
        processes.start("a")
        assert reports.all == []
        assert await reports.next() == ("ready", "a")
        processes.start("a")
        assert processes.upstream("a") is processes.upstream("a")
        assert processes.status("a").pid
        processes.stop("a", 5)
        processes.stop("a", 1)
        assert await reports.next() == ("exited", "a", type(None))
        assert len(reports.all) == 2

    both(scene)


def test_stop_before_ready_reports_only_the_exit(both):
    async def scene(processes, reports, _):
        processes.start("a")
        processes.stop("a", 5)
        assert await reports.next() == ("exited", "a", type(None))
        assert len(reports.all) == 1

    both(scene)


def test_an_exit_that_nobody_asked_for_has_a_reason(both):
    async def scene(processes, reports, world):
        processes.start("brief")
        world.crash()
        while (report := await reports.next())[0] != "exited":
            assert report == ("ready", "brief")
        assert report == ("exited", "brief", LoadFailed)
        with pytest.raises(UpstreamUnreachable):
            processes.upstream("brief")

    both(scene)


def test_what_does_not_run_has_no_upstream_and_is_not_stopped(both):
    async def scene(processes, reports, _):
        with pytest.raises(UpstreamUnreachable):
            processes.upstream("a")
        processes.stop("a", 1)
        assert processes.status("a").pid is None
        await asyncio.sleep(0)
        assert reports.all == []

    both(scene)


def test_check_says_why_not(both):
    async def scene(processes, reports, _):
        assert await processes.check("a") is None
        assert isinstance(await processes.check("gone"), LoadFailed)

    both(scene)


def test_a_log_ends_for_its_followers(both):
    async def scene(processes, reports, _):
        news = processes.log("a").follow()
        processes.log("a").close()
        assert [piece async for piece in news] == []

    both(scene)


# --- engines ---


class Heard:
    def __init__(self):
        self.status, self.content = 0, b""

    def head(self, status, headers, flow):
        self.status = status

    def body(self, chunk):
        self.content += chunk


@contextlib.asynccontextmanager
async def scripted_engine(world):
    upstream = world.Upstream(b"{}")
    yield upstream, lambda: upstream.bodies


@contextlib.asynccontextmanager
async def real_engine(world):
    bodies = []

    async def play(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Engine(f"http://127.0.0.1:{port}", name="real")
    yield upstream, lambda: bodies
    await upstream.aclose()
    server.close()


@pytest.mark.parametrize("engine", [scripted_engine, real_engine])
def test_an_exchange_sends_the_body_however_it_is_held_and_ends_with_the_answer(
    engine, world, run, tmp_path
):
    async def scene():
        spool = Spool(2**22, tmp_path)
        await spool.feed(b"x" * 2**21)
        async with engine(world) as (upstream, bodies):
            for body in (b"short", spool):
                heard = Heard()
                request = Outgoing(b"POST", b"/p", [], body)
                await upstream.exchange(request, heard, connect=5, idle=5)
                assert (heard.status, heard.content) == (200, b"{}")
            assert bodies() == [b"short", b"x" * 2**21]
        spool.close()

    run(scene())

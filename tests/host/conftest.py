"""Real children to supervise, and someone who listens to what is reported."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import uvloop

from corral.config.command import LaunchSpec
from corral.host.logs import Ring
from corral.host.supervisor import Supervisor

BOUND = 30.0
"""Seconds after which a test gives up waiting for what must come."""

# Listens on a port or socket and answers with the statuses it is given, one after the other; the last one repeats. `hang` takes the
# connection and says nothing, `junk` says something else, `die` exits with code 7, `-` never listens.
ENGINE = """
import os, signal, socket, sys
def say(*words):  # in one piece: others write to the same pipe
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")
where, *answers = sys.argv[1:]
wish = os.environ.get("WISH", "")
if "stubborn" in wish:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "fork" in wish or "daemon" in wish:
    spoken, speaking = os.pipe()
    if os.fork() == 0:
        if "daemon" in wish:
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if "quiet" in wish:
            null = os.open(os.devnull, os.O_RDWR)
        say("descendant", os.getpid())
        os.write(speaking, b".")
        if "quiet" in wish:
            os.dup2(null, 1), os.dup2(null, 2)
        while True:
            signal.pause()
    if "leave" in wish:
        os.read(spoken, 1)  # corral ends the descendant as soon as this one leaves
        sys.exit(0)
if where.isdigit():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address = ("127.0.0.1", int(where))
else:
    s = socket.socket(socket.AF_UNIX)
    address = where
if answers != ["-"]:
    s.bind(address)
    s.listen()
say("engine", os.getpid())
held = []
while answers == ["-"]:
    signal.pause()
while True:
    c, _ = s.accept()
    request = c.recv(65536).decode()
    say("asked", request.split()[1])
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if answer == "hang":
        held.append(c)
        continue
    if answer == "die":
        sys.exit(7)
    c.sendall(b"hello" + b"?" * 10 if answer == "junk" else
              f"HTTP/1.1 {answer} X\\r\\nLocation: /elsewhere\\r\\nContent-Length: 0\\r\\n\\r\\n".encode())
    c.close()
"""


class Reports:
    """Collects what is reported, in its order."""

    def __init__(self) -> None:
        self.all: list[tuple] = []
        self._news: asyncio.Queue[tuple] = asyncio.Queue()
        self.on_exit: Callable[[str], None] = lambda _model: None

    def ready(self, model: str) -> None:
        self._add("ready", model)

    def exited(self, model: str, reason: Exception | None) -> None:
        self._add("exited", model, reason)
        self.on_exit(model)

    async def next(self) -> tuple:
        return await asyncio.wait_for(self._news.get(), BOUND)

    def _add(self, *report: object) -> None:
        self.all.append(report)
        self._news.put_nowait(report)


class Connections:
    """Stands where the keep-alive connections to an engine would be."""

    def __init__(self, proxy: str, model: str) -> None:
        self.proxy, self.model, self.closed = proxy, model, False

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Stage:
    """A folder, programs in it, and supervisors that run them."""

    folder: Path
    loop_factory: Callable[[], asyncio.AbstractEventLoop]
    runtime: Path = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = self.folder / "run"
        self.runtime.mkdir()
        (self.folder / "engine.py").write_text(ENGINE)

    def python(self, code: str, *arguments: str) -> tuple[str, ...]:
        """A command that runs `code`."""
        return (sys.executable, "-S", "-c", code, *arguments)

    def engine(self, *answers: str, wish: str = "", **changes) -> LaunchSpec:
        """A model `m` on the engine above."""
        argv = (sys.executable, "-S", str(self.folder / "engine.py"), "${PORT}", *answers)
        spec = LaunchSpec("m", argv, "http://localhost:${PORT}", port=PORTS, env={"WISH": wish})
        return (
            replace(spec, start_timeout=BOUND, **changes)
            if "start_timeout" not in changes
            else replace(spec, **changes)
        )

    def run(self, scene: Callable[..., Awaitable[None]], *specs: LaunchSpec) -> Reports:
        """Play `scene(supervisor, reports)`; return everything that was reported, also while leaving."""

        async def played() -> Reports:
            async with self.supervised(*specs) as (supervisor, reports):
                await scene(supervisor, reports)
            return reports

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(asyncio.wait_for(played(), 2 * BOUND))

    @asynccontextmanager
    async def supervised(self, *specs: LaunchSpec) -> AsyncIterator[tuple[Supervisor, Reports]]:
        reports = Reports()
        async with Supervisor(
            {spec.model: spec for spec in specs},
            reports,
            upstream_factory=Connections,
            runtime_dir=self.runtime,
        ) as supervisor:
            yield supervisor, reports


# Corral looks upwards from here for free ones: outside the range that systems hand out to clients.
PORTS = 21000 + os.getpid() % 1000 * 8


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def stage(request, tmp_path) -> Stage:
    return Stage(tmp_path, request.param)


@pytest.fixture
def said():
    """`await said(ring, b"word")`: the rest of the first line that begins with it, once it was written."""

    async def wait(ring: Ring, word: bytes) -> bytes:
        news = ring.follow()
        text = ring.history()
        async with asyncio.timeout(BOUND):
            while not (found := [x for x in text.split(b"\n")[:-1] if x.startswith(word)]):
                text += await anext(news)
        return found[0].removeprefix(word).strip()

    return wait


@pytest.fixture
def gone():
    """`gone(pid)`: whether the process has ended (a zombie has), waiting for it as long as it must be waited for."""

    def wait(pid: int, within: float = BOUND) -> bool:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([fd], [], [], within)[0])
        finally:
            os.close(fd)

    return wait


@pytest.fixture
def until():
    """`await until(condition)`: where the code under test offers nothing to wait on."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BOUND):
            while not condition():  # noqa: ASYNC110 (see above)
                await asyncio.sleep(0)

    return wait

"""Scripted engines on real sockets, and both event loops to meet them on."""

import asyncio
import contextlib
import re
from types import SimpleNamespace

import pytest
import uvloop

BOUND = 20.0
"""Seconds after which a test that waits has failed."""


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, on either loop, bounded; a task left behind is a failure."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def bounded(play):
        async with asyncio.timeout(BOUND):
            await play
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=1)
        assert [task for task in left if not task.done()] == []

    def go(play):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded(play))

    return go


class Seen:
    """What a scripted engine saw: the connections it got, and which of them it saw end."""

    def __init__(self):
        self.connections = 0
        self.requests = []
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.url = ""


@contextlib.asynccontextmanager
async def engine(script, *, path=None, tls=None):
    """An engine that plays `script(reader, writer, seen)` once per connection."""
    seen, running = Seen(), set()

    async def play(reader, writer):
        seen.connections += 1
        running.add(asyncio.current_task())
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await script(reader, writer, seen)
        finally:
            running.discard(asyncio.current_task())
            writer.transport.abort()

    if path:
        server = await asyncio.start_unix_server(play, path)
        seen.url = f"unix:{path}"
    else:
        server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=tls)
        scheme = "https" if tls else "http"
        seen.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    seen.server = server
    try:
        yield seen
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def request(reader, seen):
    """Read one request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    seen.requests.append((head, body))
    seen.asked.set()
    return head, body


def answers(*texts, byte_wise=False, close=False):
    """A script: one text for each request, then wait for the other side to hang up."""

    async def script(reader, writer, seen):
        for text in texts:
            await request(reader, seen)
            for piece in [text[i : i + 1] for i in range(len(text))] if byte_wise else [text]:
                writer.write(piece)
                await writer.drain()
                if byte_wise:
                    await asyncio.sleep(0)  # each byte is to be read by itself
        if not close:
            await reader.read()
            seen.hung_up.set()

    return script


class Recorder:
    """An `Answer` that keeps everything."""

    def __init__(self):
        self.status = 0
        self.headers = []
        self.content = bytearray()
        self.flow = None
        self.got = asyncio.Event()

    def head(self, status, headers, flow):
        self.status, self.headers, self.flow = status, headers, flow
        self.got.set()

    def body(self, chunk):
        self.content += chunk
        self.got.set()


@pytest.fixture
def play():
    return SimpleNamespace(engine=engine, request=request, answers=answers, Recorder=Recorder)

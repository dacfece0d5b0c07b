"""An engine's answer on its way to the client: scripted engine, real sockets, under uvicorn with `Front` and as plain ASGI."""

import asyncio
import contextlib
import re
import socket
from typing import NamedTuple

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from corral.errors import CorralError, UpstreamTimeout, UpstreamUnreachable
from corral.gateway.ports import Outgoing
from corral.gateway.relay import ClientLeft, relay
from corral.host.upstream import Engine
from corral.server import bodies, front
from corral.wire.headers import request_headers

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX: y\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"data: 1\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


def event(error):
    return b'data: {"error":"%b"}\n\n' % error.code.encode()


class Ended(NamedTuple):
    """An answer that began: what the tap saw of it, and why it was cut, if it was."""

    status: int
    bytes_out: int
    error: CorralError | None


class Face:
    """A server around `relay`; `ended` gets what became of each request."""

    def __init__(self, engine, idle, extra):
        self.engine, self.idle, self.extra = engine, idle, extra
        self.ended = asyncio.Queue()
        self.told = 0, []
        self.seen = bytearray()

    async def __call__(self, scope, receive, send):
        content = await bodies.read(scope, receive, 2**20, list)
        headers = request_headers(scope["headers"])
        request = Outgoing(scope["method"].encode(), scope["raw_path"], headers, content)
        error = None
        try:
            async with front.watch(scope, receive) as client:
                error = await relay(
                    send,
                    self.engine,
                    request,
                    client,
                    extra_headers=self.extra,
                    connect=5,
                    idle=self.idle,
                    on_failure=event,
                    tap=self,
                )
            self.ended.put_nowait("left" if client.left else self._ended(error))
        except CorralError as error:
            self.ended.put_nowait(error)
            text = error.code.encode()
            length = b"%d" % len(text)
            start = {"status": 502, "headers": [(b"content-length", length)]}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": text})

    def _ended(self, error):
        return Ended(self.told[0], len(self.seen), error)

    def head(self, status, headers):
        self.told = status, headers

    def chunk(self, piece):
        self.seen += piece

    def called_off(self):
        return None


@pytest.fixture(params=["front", "plain"])
def face(request):
    """`async with face(engine's script)` -> the face, its engine's `Seen`, and its port."""

    @contextlib.asynccontextmanager
    async def up(play, script, *, idle=10.0, extra=()):
        async with play.engine(script) as seen:
            engine = Engine(seen.url, name="m")
            app = Face(engine, idle, list(extra))
            config = uvicorn.Config(
                app,
                http=front.Front if request.param == "front" else HttpToolsProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
            server = uvicorn.Server(config)
            server.capture_signals = contextlib.nullcontext
            with socket.create_server(("127.0.0.1", 0)) as listener:
                serving = asyncio.create_task(server.serve([listener]))
                try:
                    yield app, seen, listener.getsockname()[1]
                finally:
                    server.should_exit = True
                    await serving
                    await engine.aclose()

    return up


async def post(port, body=b"{}", method=b"POST", headers=b"", limit=2**16):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    writer.write(
        b"%b /v1/x HTTP/1.1\r\nHost: c.example\r\n%bContent-Length: %d\r\n\r\n%b"
        % (method, headers, len(body), body)
    )
    return reader, writer


async def head_of(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return head[0], {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:-2])}


async def chunk_of(reader):
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


def test_a_plain_answer_passes_and_the_connection_stays(run, play, face):
    async def scene():
        extra = [(b"x", b"corral"), (b"x-request-id", b"7")]
        async with face(play, play.answers(JSON, JSON), extra=extra) as (app, seen, port):
            reader, writer = await post(port)
            status, headers = await head_of(reader)
            assert status == "HTTP/1.1 200 OK"
            assert headers == {
                "content-type": "application/json",
                "content-length": "2",
                "x": "corral",
                "x-request-id": "7",
            }
            assert await reader.readexactly(2) == b"{}"
            outcome = await app.ended.get()
            assert (outcome.status, outcome.bytes_out, outcome.error) == (200, 2, None)
            assert app.seen == b"{}"
            assert b"host: c.example\r\n" in seen.requests[0][0]
            writer.write(b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\n\r\nx")
            assert (await head_of(reader))[0] == "HTTP/1.1 200 OK"
            writer.close()

    run(scene())


def test_a_stream_passes_piece_by_piece(run, play, face):
    async def scene():
        more = asyncio.Queue()

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(STREAM)
            while text := await more.get():
                writer.write(text)
            await reader.read()

        async with face(play, script) as (app, _, port):
            reader, writer = await post(port)
            _, headers = await head_of(reader)  # comes before the first event
            assert headers["x-accel-buffering"] == "no"
            assert headers["transfer-encoding"] == "chunked"
            for _ in range(3):
                more.put_nowait(CHUNK)
                assert await chunk_of(reader) == EVENT
            more.put_nowait(b"0\r\n\r\n")
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            assert (await app.ended.get()).bytes_out == 3 * len(EVENT)
            more.put_nowait(b"")
            writer.close()

    run(scene())


@pytest.mark.parametrize(
    ("method", "text", "status"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 OK"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", "204 No Content"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 Not Modified"),
        (b"GET", b"HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n", "404 Not Found"),
    ],
)
def test_answers_without_a_body(run, play, face, method, text, status):
    async def scene():
        async with face(play, play.answers(text, text)) as (app, _, port):
            reader, writer = await post(port, b"", method)
            for again in (True, False):
                assert (await head_of(reader))[0] == f"HTTP/1.1 {status}"
                assert (await app.ended.get()).bytes_out == 0
                if again:
                    writer.write(b"%b / HTTP/1.1\r\nHost: c\r\n\r\n" % method)
            writer.close()

    run(scene())


def test_a_failure_before_the_head_is_raised(run, play, face):
    async def scene():
        async with face(play, play.answers(b"", close=True)) as (app, _, port):
            reader, writer = await post(port)
            assert (await head_of(reader))[0] == "HTTP/1.1 502 Bad Gateway"
            assert isinstance(await app.ended.get(), UpstreamUnreachable)
            writer.close()

    run(scene())


def test_an_engine_that_dies_within_a_stream(run, play, face):
    async def scene():
        async with face(play, play.answers(STREAM + CHUNK, close=True)) as (app, _, port):
            reader, writer = await post(port)
            await head_of(reader)
            assert await chunk_of(reader) == EVENT
            assert await chunk_of(reader) == b'data: {"error":"upstream_unreachable"}\n\n'
            assert await reader.read() == b""  # and no terminating chunk
            outcome = await app.ended.get()
            assert (outcome.status, outcome.error.code) == (200, "upstream_unreachable")
            writer.close()

    run(scene())


@pytest.mark.parametrize("kind", [b"text/event-stream", b"audio/wav"])
def test_an_engine_that_dies_within_a_declared_length(run, play, face, kind):
    async def scene():
        text = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 9\r\n\r\nhalf" % kind
        async with face(play, play.answers(text, close=True)) as (app, _, port):
            reader, writer = await post(port)
            assert (await head_of(reader))[1]["content-length"] == "9"
            assert await reader.read() == b"half"
            assert (await app.ended.get()).error.code == "upstream_unreachable"
            writer.close()

    run(scene())


def test_an_engine_that_dies_right_after_its_head(run, play, face):
    async def scene():
        text = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
        async with face(play, play.answers(text, close=True)) as (app, _, port):
            reader, writer = await post(port)
            assert (await head_of(reader))[1]["content-length"] == "9"
            assert await reader.read() == b""
            assert (await app.ended.get()).status == 200
            writer.close()

    run(scene())


@pytest.mark.parametrize("text", [b"", STREAM + CHUNK])
def test_a_client_that_leaves_takes_the_exchange_along(run, play, face, text):
    async def scene():
        asked = asyncio.Event()

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(text)
            asked.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            seen.hung_up.set()

        async with face(play, script) as (app, seen, port):
            reader, writer = await post(port)
            await asked.wait()
            if text:
                await head_of(reader)
            writer.transport.abort()
            await seen.hung_up.wait()
            assert await app.ended.get() == "left"

    run(scene())


def test_a_slow_client_slows_the_engine_and_loses_nothing(run, play, face):
    async def scene():
        size, stuck = 2**25, asyncio.Event()

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(STREAM)
            for number in range(2**9):
                writer.write(b"10000\r\n" + bytes([number % 251]) * 2**16 + b"\r\n")
                drained = asyncio.create_task(writer.drain())
                if not (await asyncio.wait([drained], timeout=0.2))[0]:
                    stuck.set()
                await drained
            writer.write(b"0\r\n\r\n")
            await reader.read()

        async with face(play, script) as (app, _, port):
            reader, writer = await post(port, limit=2**20)
            await stuck.wait()
            assert len(app.seen) < size / 2
            await head_of(reader)
            for number in range(2**9):
                want = 2**16
                while want:
                    piece = await chunk_of(reader)
                    assert piece == bytes([number % 251]) * len(piece)
                    want -= len(piece)
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            assert (await app.ended.get()).bytes_out == size
            writer.close()

    run(scene())


def test_a_client_that_takes_nothing_is_cut_after_idle(run, play, face):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(STREAM)
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"10000\r\n" + b"x" * 2**16 + b"\r\n")
                    await writer.drain()

        async with face(play, script, idle=0.3) as (app, _, port):
            _, writer = await post(port, limit=1)
            outcome = await app.ended.get()
            assert isinstance(outcome.error, UpstreamTimeout)
            writer.transport.abort()

    run(scene())


def test_a_hundred_streams_at_once(run, play, face):
    async def scene():
        together = asyncio.Barrier(100)

        async def script(reader, writer, seen):
            _, body = await play.request(reader, seen)
            writer.write(STREAM)
            await together.wait()
            for _ in range(20):
                writer.write(b"%x\r\n%b\r\n" % (len(body), body))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            await reader.read()

        async def client(port, number):
            body = b"<%d>" % number
            reader, writer = await post(port, body)
            await head_of(reader)
            text = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert re.findall(rb"<\d+>", text) == [body] * 20
            writer.close()

        async with face(play, script) as (_, _, port):
            await asyncio.gather(*(client(port, number) for number in range(100)))

    run(scene())


# --- without a server: what `send` may do ---


class Scripted:
    """An upstream that plays a list of pieces, then waits or fails."""

    def __init__(self, *pieces, end=None):
        self.pieces, self.end = pieces, end
        self.paused = 0

    def pause(self):
        self.paused += 1

    def resume(self):
        self.paused -= 1

    async def exchange(self, request, answer, *, connect, idle):
        answer.head(200, [(b"content-type", b"text/event-stream")], self)
        for piece in self.pieces:
            answer.body(piece)
            await asyncio.sleep(0)
        if self.end:
            raise self.end


class Listener:
    """A client whose `send` suspends, as it may under any server but uvicorn."""

    def __init__(self, *, paused):
        self.paused = paused
        self.cuts = self.finishes = 0
        self.heard = []

    def finished(self):
        self.finishes += 1

    def cut(self):
        self.cuts += 1

    async def send(self, message):
        await asyncio.sleep(0)
        self.heard.append(message)


def passing(upstream, client):
    request = Outgoing(b"POST", b"/", [], b"")
    options = {"extra_headers": [], "connect": 1, "idle": 5, "on_failure": event}
    return relay(client.send, upstream, request, client, **options)


def test_where_send_suspends_nothing_is_lost_and_the_order_stays(run):
    async def scene():
        upstream, client = Scripted(b"a", b"b", b"c"), Listener(paused=True)
        assert await passing(upstream, client) is None
        assert [m.get("body") for m in client.heard] == [None, b"a", b"b", b"c", b""]
        assert [m.get("more_body") for m in client.heard] == [None, True, True, True, False]
        assert (upstream.paused, client.finishes) == (0, 1)

    run(scene())


def test_a_send_that_suspends_although_it_said_it_would_not_is_a_defect_that_shows(run):
    async def scene():
        with pytest.raises(RuntimeError, match="send suspended"):
            await passing(Scripted(b"a"), Listener(paused=False))

    run(scene())


def test_a_failure_waits_for_what_is_owed(run):
    async def scene():
        client = Listener(paused=True)
        error = await passing(Scripted(b"a", end=UpstreamUnreachable("gone")), client)
        assert [m.get("body") for m in client.heard] == [None, b"a", event(error)]
        assert all(m.get("more_body", True) for m in client.heard)
        assert (client.cuts, client.finishes) == (1, 0)

    run(scene())


@pytest.mark.parametrize("paused", [True, False])
def test_a_send_that_says_the_client_is_gone(run, paused):
    class Gone(Listener):
        async def send(self, message):
            raise OSError("gone")

    async def scene():
        with pytest.raises(ClientLeft):
            await passing(Scripted(b"a", b"b"), Gone(paused=paused))

    run(scene())

"""A WebSocket on its way through: scripted engines and clients on real sockets, under uvicorn with `Front`."""

import asyncio
import contextlib
import socket
import ssl
from typing import NamedTuple

import pytest
import trustme
import uvicorn
from websockets.asyncio.client import connect as websocket
from websockets.asyncio.server import serve as websockets
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from corral.errors import Cancelled, CorralError, UpstreamTimeout, UpstreamUnreachable
from corral.gateway.ports import Outgoing
from corral.gateway.relay import ClientLeft
from corral.gateway.tunnel import tunnel
from corral.host.upstream import Engine
from corral.server import bodies, front
from corral.wire.headers import request_headers

ASK = (
    b"GET /ws?x=1 HTTP/1.1\r\nHost: c.example\r\nConnection: keep-alive, upgrade\r\n"
    b"Upgrade: h2c, WebSocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: y\r\nX-Request-Id: 1\r\n\r\n"
)
BIG = 2**26


class Ended(NamedTuple):
    """What was answered, and why that ended before its time, if it did."""

    status: int
    error: CorralError | None


class Face:
    """A server around `tunnel`; `ended` gets what became of each."""

    def __init__(self, engine, idle):
        self.engine, self.idle = engine, idle
        self.ended = asyncio.Queue()
        self.told = asyncio.Event()
        self.status = self.seen = 0
        self.off = None
        self.task = None

    async def __call__(self, scope, receive, send):
        self.task = asyncio.current_task()
        try:
            assert front.asked_for_websocket(scope)
            await bodies.read(scope, receive, 2**20, list)
            target = scope["raw_path"] + b"?" + scope["query_string"]
            request = Outgoing(b"GET", target, request_headers(scope["headers"]), b"")
            error = None
            async with front.watch(scope, receive) as client:
                error = await tunnel(
                    send,
                    self.engine,
                    request,
                    client,
                    extra_headers=[(b"x-request-id", b"7")],
                    connect=5,
                    idle=self.idle,
                    on_failure=lambda error: None,
                    tap=self,
                )
            self.ended.put_nowait("left" if client.left else Ended(self.status, error))
        except ClientLeft:
            self.ended.put_nowait("left")
        except CorralError as error:
            self.ended.put_nowait(error)
            text = error.code.encode()
            length = b"%d" % len(text)
            await send(
                {
                    "type": "http.response.start",
                    "status": 502,
                    "headers": [(b"content-length", length)],
                }
            )
            await send({"type": "http.response.body", "body": text})

    def head(self, status, headers):
        self.status = status
        self.told.set()

    def chunk(self, piece):
        self.seen += len(piece)

    def called_off(self):
        if self.off:
            self.task.uncancel()
        return self.off


@contextlib.asynccontextmanager
async def serving(app, tls=None):
    config = uvicorn.Config(
        app,
        http=front.Front,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    if tls:
        config.ssl, config.is_ssl_ = tls, True
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def passing(url, *, idle=10.0, tls=None, trust=None):
    """The face in front of the engine at `url`, and its port."""
    engine = Engine(url, name="m", tls=trust)
    app = Face(engine, idle)
    try:
        async with serving(app, tls) as port:
            yield app, port
    finally:
        await engine.aclose()


@contextlib.asynccontextmanager
async def asked(port, more=b"", limit=2**16):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    writer.write(ASK + more)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def head_of(reader):
    return (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]


def switching(talk, early=b""):
    """A script: switch, send `early` in the same breath, then `talk(reader, writer, seen)`."""

    async def script(reader, writer, seen):
        seen.requests.append(await reader.readuntil(b"\r\n\r\n"))
        seen.asked.set()
        writer.write(SWITCH + early)
        await talk(reader, writer, seen)

    return script


async def echo(reader, writer, seen):
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    seen.hung_up.set()


def test_bytes_go_both_ways_after_the_switch(run, play):
    async def scene():
        script = switching(echo, early=b"first ")
        async with (
            play.engine(script) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, writer),
        ):
            status, *headers = await head_of(reader)
            assert status == "HTTP/1.1 101 Switching Protocols"
            assert sorted(headers) == [
                "connection: Upgrade",
                "sec-websocket-accept: y",
                "upgrade: websocket",
                "x-request-id: 7",
            ]
            writer.write(b"hello")
            assert await reader.readexactly(11) == b"first hello"
            writer.close()
            assert await app.ended.get() == (101, None)
            assert app.seen == 11
            await seen.hung_up.wait()
            head = seen.requests[0].lower().split(b"\r\n")
            assert head[0] == b"get /ws?x=1 http/1.1"
            assert head.count(b"connection: upgrade") == head.count(b"upgrade: websocket") == 1
            assert b"host: c.example" in head
            assert b"sec-websocket-key: k" in head
            assert app.engine.busy == 0

    run(scene())


@pytest.mark.parametrize("split", [False, True])
def test_a_client_that_does_not_wait_for_the_switch_loses_nothing(run, play, split):
    async def scene():
        go_on = asyncio.Event()

        async def script(reader, writer, seen):
            await reader.readuntil(b"\r\n\r\n")
            seen.asked.set()
            await go_on.wait()
            writer.write(SWITCH)
            await echo(reader, writer, seen)

        early = b"x" * 2**20
        async with (
            play.engine(script) as seen,
            passing(seen.url) as (_, port),
            asked(port, b"" if split else early) as (reader, writer),
        ):
            await seen.asked.wait()
            if split:
                writer.write(early)
            go_on.set()
            await head_of(reader)
            assert await reader.readexactly(len(early)) == early

    run(scene())


@pytest.mark.parametrize("body", [b"no", b""])
def test_an_engine_that_does_not_switch_answers(run, play, body):
    async def scene():
        async def script(reader, writer, seen):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await reader.read()
            seen.hung_up.set()

        async with (
            play.engine(script) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, _),
        ):
            status, *headers = await head_of(reader)
            assert status == "HTTP/1.1 426 Upgrade Required"
            assert "connection: close" in headers
            assert "x-request-id: 7" in headers
            assert await reader.read() == body
            assert (await app.ended.get()).status == 426

    run(scene())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", b"upstream_unreachable"),
        (b"HTTP/1.1 101", b"upstream_unreachable"),
        (b"SSH-2.0\r\n\r\n", b"upstream_invalid"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"upstream_invalid"),
    ],
)
def test_what_goes_wrong_before_the_switch_is_an_answer(run, play, answer, code):
    async def scene():
        async def script(reader, writer, seen):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

        async with (
            play.engine(script) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, _),
        ):
            status, *_ = await head_of(reader)
            assert status.split()[1] == "502"
            assert await reader.read() == code
            assert (await app.ended.get()).code.encode() == code

    run(scene())


def test_an_engine_that_does_not_answer_in_time(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.read()
            await reader.read()

        async with (
            play.engine(script) as seen,
            passing(seen.url, idle=0.1) as (app, port),
            asked(port) as (reader, _),
        ):
            await head_of(reader)
            assert await reader.read() == b"upstream_timeout"
            assert isinstance(await app.ended.get(), UpstreamTimeout)

    run(scene())


def test_a_client_that_leaves_before_the_switch(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.readuntil(b"\r\n\r\n")
            seen.asked.set()
            await reader.read()
            seen.hung_up.set()

        async with (
            play.engine(script) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (_, writer),
        ):
            await seen.asked.wait()
            writer.transport.abort()
            assert await app.ended.get() == "left"
            await seen.hung_up.wait()

    run(scene())


def test_who_has_said_all_still_hears(run, play):
    async def scene():
        async def talk(reader, writer, seen):
            said = await reader.read()  # to the end of what the client says
            writer.write(b"heard " + said)
            await writer.drain()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, writer),
        ):
            await head_of(reader)
            writer.write(b"all")
            writer.write_eof()
            assert await reader.read() == b"heard all"
            assert (await app.ended.get()).error is None

    run(scene())


def test_an_engine_that_has_said_all_still_hears(run, play):
    async def scene():
        async def talk(reader, writer, seen):
            writer.write(b"bye")
            writer.write_eof()
            seen.requests.append(await reader.read())
            seen.hung_up.set()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, writer),
        ):
            await head_of(reader)
            assert await reader.read() == b"bye"
            writer.write(b"wait")
            writer.write_eof()
            await seen.hung_up.wait()
            assert seen.requests[-1] == b"wait"
            assert (await app.ended.get()).error is None
            assert app.seen == 3

    run(scene())


def test_a_client_that_goes_on_after_its_engine_has_ended_is_left_in_time(run, play, monkeypatch):
    monkeypatch.setattr("corral.gateway.tunnel.LINGER", 0.1)

    async def scene():
        async def talk(reader, writer, seen):
            writer.write_eof()
            await reader.read()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, _),
        ):
            await head_of(reader)
            assert await reader.read() == b""
            assert (await app.ended.get()).error is None

    run(scene())


@pytest.mark.parametrize("reset", [False, True])
def test_an_engine_that_dies_in_the_middle(run, play, reset):
    async def scene():
        async def talk(reader, writer, seen):
            writer.write(b"half")
            await writer.drain()
            await reader.readexactly(1)
            if reset:
                linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                bare = writer.get_extra_info("socket")
                bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, writer),
        ):
            await head_of(reader)
            assert await reader.readexactly(4) == b"half"
            writer.write(b"x")
            assert await reader.read() == b""
            writer.close()
            error = (await app.ended.get()).error
            assert isinstance(error, UpstreamUnreachable) is reset

    run(scene())


def test_a_client_that_is_gone_ends_the_engines_side(run, play):
    async def scene():
        async def talk(reader, writer, seen):
            seen.requests.append(await reader.read())
            seen.hung_up.set()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, writer),
        ):
            await head_of(reader)
            writer.write(b"last words")
            await writer.drain()
            writer.close()
            await seen.hung_up.wait()
            assert seen.requests[-1] == b"last words"
            assert (await app.ended.get()).error is None

    run(scene())


class Flood:
    """`BIG` bytes, pushed as fast as they are taken."""

    pushed = 0

    async def push(self, writer):
        while self.pushed < BIG:
            writer.write(b"x" * 2**16)
            self.pushed += 2**16
            await writer.drain()
        writer.write_eof()

    async def settled(self):
        """Until a whole round has moved nothing."""
        before = -1
        while self.pushed != before or not self.pushed:
            before = self.pushed
            for _ in range(2000):
                await asyncio.sleep(0)


async def pulled(reader):
    size = 0
    while data := await reader.read(2**16):
        size += len(data)
    return size


def test_a_slow_client_stops_the_engine(run, play):
    async def scene():
        flood = Flood()

        async def talk(reader, writer, seen):
            await flood.push(writer)
            await reader.read()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (_, port),
            asked(port) as (reader, _),
        ):
            await head_of(reader)
            await flood.settled()
            assert flood.pushed < BIG // 2  # what sockets and buffers hold, of 64 MiB
            assert await pulled(reader) == BIG

    run(scene())


def test_a_slow_engine_stops_the_client(run, play):
    async def scene():
        flood, may_read = Flood(), asyncio.Event()
        taken = asyncio.get_running_loop().create_future()

        async def talk(reader, writer, seen):
            await may_read.wait()
            taken.set_result(await pulled(reader))

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url) as (_, port),
            asked(port) as (reader, writer),
        ):
            await head_of(reader)
            pushing = asyncio.create_task(flood.push(writer))
            await flood.settled()
            assert flood.pushed < BIG // 2
            may_read.set()
            assert await taken == BIG
            await pushing

    run(scene())


def test_silence_ends_it_and_a_byte_now_and_then_does_not(run, play):
    async def scene():
        async def talk(reader, writer, seen):
            for _ in range(16):
                await asyncio.sleep(0.1)  # the engine's own pace, which is what is played
                writer.write(b".")
            await reader.read()
            seen.hung_up.set()

        async with (
            play.engine(switching(talk)) as seen,
            passing(seen.url, idle=1.5) as (app, port),
            asked(port) as (reader, _),
        ):
            await head_of(reader)
            assert await reader.read() == b"." * 16
            await seen.hung_up.wait()
            error = (await app.ended.get()).error
            assert isinstance(error, UpstreamTimeout)
            assert error.message == "no byte in either direction for 1.5 s"

    run(scene())


@pytest.mark.parametrize("how", ["cancelled", "called off", "the engine's connections closed"])
def test_it_is_ended_from_here(run, play, how):
    async def scene():
        async with (
            play.engine(switching(echo)) as seen,
            passing(seen.url) as (app, port),
            asked(port) as (reader, _),
        ):
            await head_of(reader)
            assert app.engine.busy == 1
            if how == "called off":
                app.off = Cancelled("stop")
            if how == "the engine's connections closed":
                await app.engine.aclose()
            else:
                app.task.cancel()
            assert await reader.read() == b""
            await seen.hung_up.wait()
            if how != "cancelled":
                assert (await app.ended.get()).error is app.off

    run(scene())


def test_the_server_stops_without_waiting_for_it(run, play):
    async def scene():
        async with play.engine(switching(echo)) as seen:
            async with passing(seen.url) as (_, port), asked(port) as (reader, _):
                await head_of(reader)
                await seen.asked.wait()
            await seen.hung_up.wait()

    run(scene())


def test_other_upgrades_are_answered_in_http(run, play):
    async def scene():
        async def app(scope, receive, send):
            assert not front.asked_for_websocket(scope)
            content = await bodies.read(scope, receive, 100, list)
            text = scope["raw_path"] + content
            length = b"%d" % len(text)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", length)],
                }
            )
            await send({"type": "http.response.body", "body": text})

        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            h2c = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
            ws = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            writer.write(b"GET /a HTTP/1.1\r\n" + h2c + b"\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
            writer.write(b"POST /c HTTP/1.1\r\n" + h2c + b"Content-Length: 2\r\n\r\nhi")
            writer.write(b"POST /d HTTP/1.1\r\n" + ws + b"Transfer-Encoding: chunked\r\n\r\n2\r\n")
            writer.write(b"ho\r\n0\r\n\r\n")
            for text in (b"/a", b"/b", b"/chi", b"/dho"):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(text)) == text
            writer.close()

    run(scene())


@pytest.mark.parametrize("line", [b"SSH-2.0-x", b"CONNECT x:443 HTTP/1.1\r\nHost: x:443"])
def test_a_request_that_is_none(run, play, line):
    async def scene():
        async def app(scope, receive, send):
            raise AssertionError

        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(line + b"\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
            writer.close()

    run(scene())


# --- with WebSockets as people use them -----------------------------------------------------------


@contextlib.asynccontextmanager
async def engine_of(handler, *, path=None, tls=None):
    """A real WebSocket server; its address."""
    if path:
        from websockets.asyncio.server import unix_serve

        async with unix_serve(handler, path, max_size=None):
            yield f"unix:{path}"
        return
    async with websockets(handler, "127.0.0.1", 0, ssl=tls, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/base"


async def parrot(connection):
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_messages_of_every_size(run, play, tmp_path, kind):
    authority = trustme.CA()
    theirs, ours = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for context in (theirs, ours):
        authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    secure = kind == "tls"

    async def scene():
        path = str(tmp_path / "s") if kind == "unix" else None
        async with (
            engine_of(parrot, path=path, tls=theirs if secure else None) as url,
            passing(url, tls=ours if secure else None, trust=trust if secure else None) as (
                _,
                port,
            ),
        ):
            scheme, options = ("wss", {"ssl": trust}) if secure else ("ws", {})
            address = f"{scheme}://127.0.0.1:{port}/ws"
            async with websocket(address, max_size=None, proxy=None, **options) as client:
                for size in (0, 1, 125, 126, 65_536, 5 * 2**20):
                    await client.send(b"\xff" * size)
                    assert await client.recv() == b"\xff" * size
                await client.send("ü")
                assert await client.recv() == "ü"
                await (await client.ping())

    run(scene())


def test_who_closes_says_why(run, play):
    async def strict(connection):
        await connection.recv()
        await connection.close(4001, "enough")

    async def scene():
        async with engine_of(strict) as url, passing(url) as (app, port):
            async with websocket(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
                await client.send("x")
                with pytest.raises(ConnectionClosedError, match="4001"):
                    await client.recv()
            assert (await app.ended.get()).error is None

    run(scene())


def test_a_refusal_has_its_status(run, play):
    async def scene():
        script = play.answers(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        async with play.engine(script) as seen, passing(seen.url) as (_, port):
            with pytest.raises(InvalidStatus) as refused:
                await websocket(f"ws://127.0.0.1:{port}/ws", proxy=None)
            assert refused.value.response.status_code == 403
            assert refused.value.response.body == b"no"

    run(scene())

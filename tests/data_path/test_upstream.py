"""The way to an engine, played against scripted programs on real sockets."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from corral.config.relaying import Timeouts
from corral.errors import UpstreamTimeout, UpstreamUnreachable
from corral.gateway import ports
from corral.gateway.ports import Outgoing
from corral.host.address import Address
from corral.host.upstream import Engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nlate: 1\r\n\r\n"
GET = Outgoing(b"GET", b"/x?y=%20", [(b"host", b"client.example")], b"")
POST = Outgoing(b"POST", b"/v1", [(b"x", b"y")], b"body")


class Pieces:
    """A body that counts how often it is read, and how much of it was asked for."""

    def __init__(self, piece, count):
        self.piece, self.count = piece, count
        self.reads = self.taken = self.closed = 0

    @property
    def size(self):
        return len(self.piece) * self.count

    async def chunks(self):
        self.reads += 1
        try:
            for _ in range(self.count):
                self.taken += 1
                yield self.piece
        finally:
            self.closed += 1


@contextlib.asynccontextmanager
async def connected(seen, **options):
    engine = Engine(seen.url, name="m", **options)
    try:
        yield engine
    finally:
        await engine.aclose()


async def ask(engine, play, request=GET, *, connect=5.0, idle=10.0):
    answer = play.Recorder()
    await engine.exchange(request, answer, connect=connect, idle=idle)
    return answer


def test_it_fits_the_port():
    upstream: ports.Upstream = Engine("http://127.0.0.1:1", name="m")
    assert repr(upstream) == "<Engine m http://127.0.0.1:1: 0 busy, 0 idle>"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h", Address(host="h", port=80, authority=b"h")),
        ("http://h:1/base/", Address(host="h", port=1, base=b"/base", authority=b"h:1")),
        ("https://[::1]:2", Address(host="::1", port=2, tls=True, authority=b"[::1]:2")),
        ("https://h", Address(host="h", port=443, tls=True, authority=b"h")),
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
    ],
)
def test_addresses(url, address):
    assert Address.parse(url) == address


@pytest.mark.parametrize("url", ["", "h:1", "ftp://h", "http://", "unix:", "http://h:port"])
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match=r".+"):
        Address.parse(url)


def test_a_request_as_the_engine_sees_it(run, play):
    async def scene():
        async with play.engine(play.answers(*[OK] * 4)) as seen:
            seen.url += "/base/"
            async with connected(seen) as engine:
                for request in (GET, POST, Outgoing(b"POST", b"/", [], b"")):
                    await ask(engine, play, request)
                await ask(engine, play, Outgoing(b"PUT", b"/", [], Pieces(b"ab", 3)))
            host = seen.url.split("/")[2].encode()
            assert seen.requests == [
                (b"GET /base/x?y=%20 HTTP/1.1\r\nhost: client.example\r\n\r\n", b""),
                (
                    b"POST /base/v1 HTTP/1.1\r\nx: y\r\nhost: %b\r\ncontent-length: 4\r\n\r\n"
                    % host,
                    b"body",
                ),
                (b"POST /base/ HTTP/1.1\r\nhost: %b\r\ncontent-length: 0\r\n\r\n" % host, b""),
                (
                    b"PUT /base/ HTTP/1.1\r\nhost: %b\r\ncontent-length: 6\r\n\r\n" % host,
                    b"ababab",
                ),
            ]

    run(scene())


def test_over_a_unix_socket(run, play, tmp_path):
    async def scene():
        path = str(tmp_path / "s")
        async with play.engine(play.answers(OK), path=path) as seen, connected(seen) as engine:
            assert (await ask(engine, play, POST)).content == b"hello"
            assert b"host: localhost\r\n" in seen.requests[0][0]

    run(scene())


def test_over_tls(run, play):
    pem = Path(__file__).with_name("loopback.pem")

    async def scene():
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(pem)
        async with play.engine(play.answers(OK, CHUNKED), tls=theirs) as seen:
            async with connected(seen, tls=ssl.create_default_context(cafile=pem)) as engine:
                assert (await ask(engine, play)).content == b"hello"
                assert (await ask(engine, play)).content == b"hello!"
                assert seen.connections == 1
            async with connected(seen) as distrustful:
                with pytest.raises(UpstreamUnreachable, match="certificate"):
                    await ask(distrustful, play)

    run(scene())


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_stale_connection_is_replaced_and_the_request_sent_once_more(run, play, request_):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(OK)
            await play.request(reader, seen)  # the second gets no answer here
            if seen.connections > 1:
                writer.write(OK)
                await reader.read()

        async with play.engine(script) as seen, connected(seen) as engine:
            await ask(engine, play)
            assert (await ask(engine, play, request_)).content == b"hello"
            assert (seen.connections, len(seen.requests)) == (2, 3)

    run(scene())


def test_a_body_is_read_again_for_the_second_try(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(OK)
            if seen.connections == 1:
                await reader.readexactly(1)

        body = Pieces(b"x" * 100_000, 20)
        async with play.engine(script) as seen, connected(seen) as engine:
            await ask(engine, play)
            answer = await ask(engine, play, Outgoing(b"POST", b"/", [], body))
            assert answer.content == b"hello"
            assert seen.requests[-1][1] == b"x" * 2_000_000
            assert (body.reads, body.closed) == (2, 2)

    run(scene())


def test_a_second_failure_is_told(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            if seen.connections == 1:
                writer.write(OK)
                await play.request(reader, seen)

        async with play.engine(script) as seen, connected(seen) as engine:
            await ask(engine, play)
            with pytest.raises(UpstreamUnreachable, match="hung up"):
                await ask(engine, play)
            assert len(seen.requests) == 3

    run(scene())


def test_no_second_try_once_something_of_the_answer_has_come(run, play):
    async def scene():
        script = play.answers(OK, b"HTTP/1.1 2", close=True)
        async with play.engine(script) as seen, connected(seen) as engine:
            await ask(engine, play)
            with pytest.raises(UpstreamUnreachable):
                await ask(engine, play)
            assert len(seen.requests) == 2

    run(scene())


def test_the_last_to_rest_is_the_first_to_work(run, play):
    async def scene():
        turn = [asyncio.Event(), asyncio.Event()]

        async def script(reader, writer, seen):
            number = seen.connections - 1
            while await play.request(reader, seen):
                await turn[number].wait()
                writer.write(OK + b"" if number == 0 else OK.replace(b"hello", b"world"))

        async with play.engine(script) as seen, connected(seen) as engine:
            both = [asyncio.create_task(ask(engine, play)) for _ in range(2)]
            for event, task in zip(turn, both, strict=True):
                event.set()
                await task
            assert {bytes(task.result().content) for task in both} == {b"hello", b"world"}
            assert (await ask(engine, play)).content == b"world"

    run(scene())


def test_a_hundred_exchanges_at_once(run, play):
    async def scene():
        together = asyncio.Barrier(100)

        async def script(reader, writer, seen):
            _, body = await play.request(reader, seen)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await together.wait()
            for _ in range(50):
                writer.write(b"%x\r\n%b\r\n" % (len(body), body))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            await reader.read()

        async with play.engine(script) as seen, connected(seen) as engine:
            requests = [Outgoing(b"POST", b"/", [], b"<%d>" % n) for n in range(100)]
            answers = await asyncio.gather(*(ask(engine, play, r, idle=30) for r in requests))
            assert [a.content for a in answers] == [r.body * 50 for r in requests]
            assert repr(engine).endswith("0 busy, 100 idle>")

    run(scene())


def test_nobody_listens(run, play):
    async def scene():
        async with play.engine(play.answers()) as seen:
            seen.server.close()
            async with connected(seen) as engine:
                with pytest.raises(UpstreamUnreachable, match="m: cannot connect to http"):
                    await ask(engine, play)

    run(scene())


def test_no_such_socket(run, play, tmp_path):
    async def scene():
        engine = Engine(f"unix:{tmp_path}/none", name="m")
        with pytest.raises(UpstreamUnreachable, match="cannot connect"):
            await ask(engine, play)

    run(scene())


def test_a_connection_that_is_not_made_in_time(run, play):
    async def scene():
        # A full queue of connections nobody accepts: the next one's SYN goes unanswered.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            with contextlib.ExitStack() as waiting:
                for _ in range(4):
                    one = waiting.enter_context(socket.socket())
                    one.setblocking(False)
                    one.connect_ex(deaf.getsockname())
                with pytest.raises(UpstreamTimeout, match=rf"no connection to {url} within 0.1 s"):
                    await ask(Engine(url, name="m"), play, connect=0.1)

    run(scene())


def test_a_connection_that_rests_too_long_is_closed(run, play):
    brief = Timeouts(idle_conn=0.05)

    async def scene():
        async with play.engine(play.answers(OK)) as seen, connected(seen, timeouts=brief) as engine:
            await ask(engine, play, idle=0)
            await seen.hung_up.wait()
            await ask(engine, play, idle=0)
            assert seen.connections == 2

    run(scene())


@pytest.mark.parametrize("text", [b"", CHUNKED[:60]])
def test_cancelling_hangs_up_at_once(run, play, text):
    async def scene():
        asked = asyncio.Event()

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(text)
            asked.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            seen.hung_up.set()

        async with play.engine(script) as seen, connected(seen) as engine:
            asking = asyncio.create_task(ask(engine, play))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await seen.hung_up.wait()

    run(scene())


def test_closing_ends_what_runs_and_refuses_what_comes(run, play):
    async def scene():
        async with play.engine(play.answers(b"")) as seen:
            engine = Engine(seen.url, name="m")
            asking = asyncio.create_task(ask(engine, play))
            await seen.asked.wait()
            await engine.aclose()
            with pytest.raises(UpstreamUnreachable, match="has been stopped"):
                await asking
            with pytest.raises(UpstreamUnreachable, match="has been stopped"):
                await ask(engine, play)
            await seen.hung_up.wait()
            await engine.aclose()
            assert repr(engine).endswith("closed>")

    run(scene())

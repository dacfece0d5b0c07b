"""One exchange on one connection, played against scripted programs on real sockets."""

import asyncio
import contextlib

import pytest

from corral.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from corral.gateway.ports import Outgoing
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


@pytest.mark.parametrize("byte_wise", [False, True])
@pytest.mark.parametrize(
    ("text", "content"),
    [
        (OK, b"hello"),
        (CHUNKED, b"hello!"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, b"hello"),
    ],
)
def test_answers_end_where_they_say_and_the_connection_is_used_again(
    run, play, text, content, byte_wise
):
    async def scene():
        script = play.answers(text, OK, byte_wise=byte_wise)
        async with play.engine(script) as seen, connected(seen) as engine:
            first = await ask(engine, play)
            second = await ask(engine, play)
            assert (first.content, second.content) == (content, b"hello")
            assert b"link" not in dict(first.headers)
            assert b"late" not in dict(first.headers)
            assert seen.connections == 1
            assert repr(engine).endswith("0 busy, 1 idle>")

    run(scene())


def test_an_answer_to_head_ends_at_its_headers(run, play):
    async def scene():
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        async with (
            play.engine(play.answers(head, head, OK)) as seen,
            connected(seen) as engine,
        ):
            for _ in range(2):
                answer = await ask(engine, play, Outgoing(b"HEAD", b"/", [], b""))
                assert (answer.status, answer.content) == (200, b"")
            assert (await ask(engine, play)).content == b"hello"
            assert seen.connections == 1

    run(scene())


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_without_a_length_ends_with_the_connection(run, play, head):
    async def scene():
        script = play.answers(head + b"to the end", close=True)
        async with play.engine(script) as seen, connected(seen) as engine:
            assert (await ask(engine, play)).content == b"to the end"
            assert (await ask(engine, play)).content == b"to the end"
            assert seen.connections == 2

    run(scene())


@pytest.mark.parametrize(
    "text",
    [
        OK + b"and more",
        OK + OK,
        b"HTTP/1.1 204 No Content\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhelloXX",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_with_a_byte_to_spare_or_no_wish_to_stay_is_not_used_again(run, play, text):
    async def scene():
        async with play.engine(play.answers(text)) as seen, connected(seen) as engine:
            assert (await ask(engine, play)).status in (200, 204)
            await seen.hung_up.wait()
            assert (await ask(engine, play)).status in (200, 204)
            assert seen.connections == 2

    run(scene())


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00\xff\x00",
        b"HTTP/1.1 999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nfoo",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage(run, play, text):
    async def scene():
        async with play.engine(play.answers(text)) as seen, connected(seen) as engine:
            with pytest.raises(UpstreamInvalid, match=r"^m: "):
                await ask(engine, play)
            await seen.hung_up.wait()

    run(scene())


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200", OK[:-1], CHUNKED[:-1], CHUNKED[:60]])
@pytest.mark.parametrize("reset", [False, True])
def test_an_engine_that_dies_in_the_middle(run, play, text, reset):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(text)
            await writer.drain()
            if reset:
                writer.transport.abort()

        async with play.engine(script) as seen, connected(seen) as engine:
            with pytest.raises(UpstreamUnreachable):
                await ask(engine, play)

    run(scene())


def test_an_engine_that_speaks_unasked_is_dropped(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(OK)
            await writer.drain()
            if seen.connections == 1:
                await go_on.wait()
                writer.write(OK)
            await reader.read()
            seen.hung_up.set()

        go_on = asyncio.Event()
        async with play.engine(script) as seen, connected(seen) as engine:
            await ask(engine, play)
            go_on.set()
            await seen.hung_up.wait()
            await ask(engine, play)
            assert seen.connections == 2

    run(scene())


def test_what_the_answer_raises_ends_the_exchange(run, play):
    class Broken(play.Recorder):
        def body(self, chunk):
            raise KeyError(chunk)

    async def scene():
        async with play.engine(play.answers(OK)) as seen, connected(seen) as engine:
            with pytest.raises(KeyError):
                await engine.exchange(GET, Broken(), connect=5, idle=5)
            await seen.hung_up.wait()

    run(scene())


@pytest.mark.parametrize("text", [b"", CHUNKED[:60]])
def test_silence_before_and_within_the_answer(run, play, text):
    async def scene():
        async with play.engine(play.answers(text)) as seen, connected(seen) as engine:
            with pytest.raises(UpstreamTimeout, match=r"no byte in either direction for 0\.05 s"):
                await ask(engine, play, idle=0.05)
            await seen.hung_up.wait()

    run(scene())


def test_an_upload_that_nobody_takes_times_out(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await asyncio.Event().wait()

        body = Pieces(b"x" * 2**16, 10_000)
        async with play.engine(script) as seen, connected(seen) as engine:
            with pytest.raises(UpstreamTimeout):
                await ask(engine, play, Outgoing(b"POST", b"/", [], body), idle=0.1)
            assert body.taken < 1000
            assert body.closed == 1

    run(scene())


def test_a_byte_now_and_then_keeps_an_answer_alive(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
            for _ in range(12):
                await asyncio.sleep(0.1)  # the engine's own pace, which is what is played
                writer.write(b".")
            await reader.read()

        async with play.engine(script) as seen, connected(seen) as engine:
            assert len((await ask(engine, play, idle=1.0)).content) == 12

    run(scene())


def test_a_large_body_is_read_no_faster_than_the_engine_takes_it(run, play):
    async def scene():
        may_read = asyncio.Event()

        async def script(reader, writer, seen):
            await may_read.wait()
            await play.request(reader, seen)
            writer.write(OK)
            await reader.read()

        body = Pieces(b"x" * 2**16, 1000)
        async with play.engine(script) as seen, connected(seen) as engine:
            asking = asyncio.create_task(ask(engine, play, Outgoing(b"POST", b"/", [], body)))
            while not any(connection._write_paused for connection in engine._open):  # noqa: ASYNC110  a transport has no event for it
                await asyncio.sleep(0)  # white box: the transport's own word for "full"
            taken = body.taken
            assert taken < 500
            may_read.set()
            assert (await asking).content == b"hello"
            assert body.taken == 1000
            assert len(seen.requests[0][1]) == body.size
            assert repr(engine).endswith("1 idle>")

    run(scene())


def test_an_answer_before_the_body_is_sent_ends_the_upload(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            await asyncio.Event().wait()

        body = Pieces(b"x" * 2**16, 10_000)
        async with play.engine(script) as seen, connected(seen) as engine:
            answer = await ask(engine, play, Outgoing(b"POST", b"/", [], body))
            assert (answer.status, answer.content) == (413, b"no")
            assert body.taken < 1000
            assert body.closed == 1
            assert "0 idle" in repr(engine)

    run(scene())


def test_a_body_that_cannot_be_read_ends_the_exchange(run, play):
    class Torn(Pieces):
        async def chunks(self):
            yield b"half"
            raise OSError("disk gone")

    async def scene():
        async with play.engine(play.answers(OK)) as seen, connected(seen) as engine:
            with pytest.raises(OSError, match="disk gone"):
                await ask(engine, play, Outgoing(b"POST", b"/", [], Torn(b"half", 2)))
            assert "0 idle" in repr(engine)

    run(scene())


def test_a_paused_answer_stops_the_engine_and_goes_on_when_resumed(run, play):
    async def scene():
        stuck = asyncio.Event()
        size = 2**26

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(b"x" * size)  # takes what the sockets hold, keeps the rest
            stuck.set()
            await writer.drain()
            await reader.read()

        class Paused(play.Recorder):
            def head(self, status, headers, flow):
                super().head(status, headers, flow)
                flow.pause()

        answer = Paused()
        async with play.engine(script) as seen, connected(seen) as engine:
            asking = asyncio.create_task(engine.exchange(GET, answer, connect=5, idle=10))
            await stuck.wait()
            await answer.got.wait()
            for _ in range(
                1000
            ):  # turns of the loop in which more could be read, if it were not paused
                await asyncio.sleep(0)
            assert len(answer.content) < 2**20  # one read, of 64 MiB that wait
            answer.flow.resume()
            await asking
            assert len(answer.content) == size
            answer.flow.pause()  # means nothing any more
            assert repr(engine).endswith("1 idle>")

    run(scene())


def test_an_answer_that_is_complete_while_paused_leaves_a_connection_that_reads(run, play):
    async def scene():
        answer = play.Recorder()
        answer.head = lambda status, headers, flow: flow.pause()
        async with play.engine(play.answers(OK, OK)) as seen, connected(seen) as engine:
            await engine.exchange(GET, answer, connect=5, idle=10)
            assert (await ask(engine, play)).content == b"hello"
            assert seen.connections == 1

    run(scene())

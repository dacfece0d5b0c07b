"""The way to another machine: TLS, proxies, and every way in which it fails, on real sockets."""

import asyncio
import contextlib
import re
import socket
import ssl

import pytest
import trustme

from corral.config.relaying import Timeouts
from corral.errors import UpstreamTimeout, UpstreamUnreachable
from corral.gateway.ports import Outgoing
from corral.host.proxies import Proxy
from corral.host.trust import trusted
from corral.host.upstream import Engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nlate: 1\r\n\r\n"
GET = Outgoing(b"GET", b"/x", [(b"host", b"client.example")], b"")
HEAD = Outgoing(b"HEAD", b"/x", [], b"")
POST = Outgoing(b"POST", b"/v1", [], b"b" * 2**22)

authority = trustme.CA()
trust = ssl.create_default_context()
authority.configure_trust(trust)


def certified(name="127.0.0.1"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@contextlib.asynccontextmanager
async def connected(url, **options):
    engine = Engine(url, name="peer p", **options)
    try:
        yield engine
    finally:
        await engine.aclose()


async def ask(engine, play, request=GET, *, connect=10.0, idle=10.0):
    answer = play.Recorder()
    await engine.exchange(request, answer, connect=connect, idle=idle)
    return answer


async def refusal(engine, play, **options):
    with pytest.raises(UpstreamUnreachable) as refused:
        await ask(engine, play, **options)
    assert "\n" not in refused.value.message
    return refused.value.message


# --- TLS -----------------------------------------------------------------------------------------


def test_a_connection_with_tls_is_used_again(run, play):
    async def scene():
        big = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**22 + b"x" * 2**22
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        script = play.answers(OK, CHUNKED, head, big, OK)
        async with (
            play.engine(script, tls=certified()) as seen,
            connected(seen.url + "/base", tls=trust) as engine,
        ):
            assert (await ask(engine, play)).content == b"hello"
            assert (await ask(engine, play)).content == b"hello"
            assert (await ask(engine, play, HEAD)).content == b""
            assert len((await ask(engine, play, POST)).content) == 2**22
            assert (await ask(engine, play)).content == b"hello"
            assert seen.connections == 1
            assert seen.requests[0][0].startswith(b"GET /base/x HTTP/1.1\r\n")
            assert len(seen.requests[3][1]) == 2**22

    run(scene())


def test_the_name_that_was_written_is_asked_for(run, play):
    asked_for = []
    theirs = certified("localhost")
    theirs.sni_callback = lambda socket, name, context: asked_for.append(name)

    async def scene():
        async with play.engine(play.answers(OK), tls=theirs) as seen:
            url = seen.url.replace("127.0.0.1", "localhost")
            async with connected(url, tls=trust) as engine:
                assert (await ask(engine, play)).content == b"hello"

    run(scene())
    assert asked_for == ["localhost"]


def test_a_certificate_that_is_not_trusted(run, play):
    async def scene():
        async with (
            play.engine(play.answers(OK), tls=certified()) as seen,
            connected(seen.url) as stranger,
        ):
            assert re.fullmatch(
                f"peer p: cannot connect to {seen.url}: its certificate is not trusted: unable to .*",
                await refusal(stranger, play),
            )
        async with (
            play.engine(play.answers(OK), tls=certified("other.example")) as seen,
            connected(seen.url, tls=trust) as engine,
        ):
            assert "its certificate is not trusted: IP address mismatch" in await refusal(
                engine, play
            )

    run(scene())


def test_the_environment_may_name_whom_to_trust(run, play, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    trusted.cache_clear()

    async def scene():
        async with (
            play.engine(play.answers(OK), tls=certified()) as seen,
            connected(seen.url) as engine,
        ):
            assert (await ask(engine, play)).content == b"hello"

    try:
        run(scene())
    finally:
        trusted.cache_clear()


def test_no_tls_where_it_is_expected(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()

        async with play.engine(script) as seen:
            url = seen.url.replace("http:", "https:")
            async with connected(url, tls=trust) as engine:
                assert (await refusal(engine, play)).startswith(
                    f"peer p: cannot connect to {url}: TLS failed: "
                )

    run(scene())


def test_who_hangs_up_during_the_handshake(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.read(1)

        async with play.engine(script) as seen:
            url = seen.url.replace("http:", "https:")
            async with connected(url, tls=trust) as engine:
                assert f"cannot connect to {url}: " in await refusal(engine, play)

    run(scene())


def test_a_handshake_that_takes_too_long(run, play):
    async def scene():
        async def script(reader, writer, seen):
            await reader.read(1)
            while await reader.read(2**16):
                pass
            seen.hung_up.set()

        brief = Timeouts(tls_handshake=0.1)
        async with play.engine(script) as seen:
            url = seen.url.replace("http:", "https:")
            async with connected(url, tls=trust, timeouts=brief) as engine:
                with pytest.raises(UpstreamTimeout) as late:
                    await ask(engine, play)
            assert late.value.message == f"peer p: no TLS handshake with {url} within 0.1 s"
            await seen.hung_up.wait()

    run(scene())


# --- nobody there --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_listens(run, play, scheme):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"

    async def scene():
        async with connected(url, tls=trust) as engine:
            expected = f"peer p: cannot connect to {url}: nobody listens there"
            assert await refusal(engine, play) == expected

    run(scene())


def test_a_host_that_nobody_knows_and_a_password_that_is_not_shown(run, play):
    async def scene():
        async with connected("http://me:secret@nowhere.invalid:1/v1") as engine:
            message = await refusal(engine, play)
            assert message.startswith(
                "peer p: cannot connect to http://nowhere.invalid:1/v1: its host is not known ("
            )

    run(scene())


def test_a_host_that_is_no_name(run, play):
    async def scene():
        async with connected(f"http://{'x' * 300}.example") as engine:
            assert "cannot connect to" in await refusal(engine, play)

    run(scene())


# --- limits --------------------------------------------------------------------------------------


def test_the_head_of_an_answer_has_a_limit_of_its_own(run, play):
    brief = Timeouts(response_header=0.1)

    async def scene():
        async with (
            play.engine(play.answers(b"HTTP/1.1 100 Continue\r\n\r\n")) as seen,
            connected(seen.url, timeouts=brief) as engine,
        ):
            with pytest.raises(UpstreamTimeout, match=r"^peer p: no answer within 0.1 s$"):
                await ask(engine, play)
            with pytest.raises(UpstreamTimeout, match=r"no byte in either direction for 0.05 s"):
                await ask(engine, play, idle=0.05)
            await seen.hung_up.wait()

    run(scene())


class Slowly:
    """A body whose second half waits for `go_on`."""

    def __init__(self):
        self.size = 2
        self.go_on = asyncio.Event()

    async def chunks(self):
        yield b"a"
        await self.go_on.wait()
        yield b"b"


def test_the_limit_for_the_head_does_not_bound_the_body_of_either(run, play):
    """The pauses are longer than the limit, by the same clock."""
    limit = 0.2

    async def scene():
        loop = asyncio.get_running_loop()

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n.")
            await asyncio.sleep(2 * limit)
            writer.write(b".")
            await reader.read()

        body = Slowly()
        async with (
            play.engine(script) as seen,
            connected(seen.url, timeouts=Timeouts(response_header=limit)) as engine,
        ):
            loop.call_later(2 * limit, body.go_on.set)
            answer = await ask(engine, play, Outgoing(b"POST", b"/", [], body))
            assert answer.content == b".."

    run(scene())


def test_an_upload_is_followed_by_the_limit_for_the_head(run, play):
    async def scene():
        body = Slowly()
        body.go_on.set()
        async with (
            play.engine(play.answers(b"")) as seen,
            connected(seen.url, timeouts=Timeouts(response_header=0.1)) as engine,
        ):
            with pytest.raises(UpstreamTimeout, match=r"no answer within 0.1 s"):
                await ask(engine, play, Outgoing(b"POST", b"/", [], body))
            await seen.hung_up.wait()

    run(scene())


@pytest.mark.parametrize("seconds", [0, 0.2, 7])
def test_probes(run, play, seconds):
    async def scene():
        async with (
            play.engine(play.answers(OK)) as seen,
            connected(seen.url, timeouts=Timeouts(keepalive=seconds)) as engine,
        ):
            await ask(engine, play)
            (connection,) = engine._open
            bare = connection.transport.get_extra_info("socket")
            assert bool(bare.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is bool(seconds)
            if seconds and hasattr(socket, "TCP_KEEPINTVL"):
                interval = bare.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
                assert interval == max(1, seconds)

    run(scene())


def test_retired_it_keeps_nothing_and_still_serves(run, play):
    async def scene():
        busy = asyncio.Event()

        async def script(reader, writer, seen):
            while await play.request(reader, seen):
                if seen.connections == 2:
                    await busy.wait()
                writer.write(OK)

        async with play.engine(script) as seen, connected(seen.url) as engine:
            first = asyncio.create_task(ask(engine, play))
            await first
            both = [asyncio.create_task(ask(engine, play)) for _ in range(2)]
            await both[0]
            assert repr(engine).endswith("1 busy, 1 idle>")
            engine.retire()
            busy.set()
            assert (await both[1]).content == b"hello"
            assert (await ask(engine, play)).content == b"hello"
            assert seen.connections == 3
            await asyncio.sleep(0)  # what was closed is told on the loop's next turn
            assert repr(engine).endswith("0 busy, 0 idle>")

    run(scene())


# --- proxies -------------------------------------------------------------------------------------


async def passed(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()


async def let_through(target, reader, writer):
    host, _, port = target.decode().rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    there = asyncio.create_task(passed(reader, far_writer))
    try:
        await passed(far_reader, writer)
    finally:
        there.cancel()
        far_writer.transport.abort()
        await asyncio.wait([there])


@contextlib.asynccontextmanager
async def proxy_of(play, tls=None, reply=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    """A forward proxy: it lets CONNECT through, or says `reply`. Its `Proxy`, and the heads that it got."""
    heads = []

    async def script(reader, writer, seen):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        method, target, _ = heads[-1].split(b" ", 2)
        if method != b"CONNECT":
            writer.write(OK)
            await reader.read()
            return
        writer.write(reply)
        await writer.drain()
        if b" 200 " in reply:
            await let_through(target, reader, writer)

    async with play.engine(script, tls=tls) as seen:
        yield Proxy.parse(seen.url.replace("://", "://me:secret@")), heads


@pytest.mark.parametrize("secured", [False, True])
def test_plain_http_goes_through_a_proxy_by_its_whole_url(run, play, secured):
    async def scene():
        async with proxy_of(play, certified() if secured else None) as (proxy, heads):
            url = "http://far.example:8/base"
            async with connected(url, proxy=proxy, tls=trust) as engine:
                assert (await ask(engine, play)).content == b"hello"
                (head,) = heads
                assert head.startswith(b"GET http://far.example:8/base/x HTTP/1.1\r\n")
                assert b"\r\nproxy-authorization: Basic " in head
                assert repr(engine).startswith(f"<Engine peer p {url} through {proxy}: 0 busy")

    run(scene())


@pytest.mark.parametrize("secured", [False, True])
def test_tls_goes_through_a_proxy_unread(run, play, secured):
    async def scene():
        async with (
            play.engine(play.answers(OK, CHUNKED), tls=certified()) as seen,
            proxy_of(play, certified() if secured else None) as (proxy, heads),
            connected(seen.url, proxy=proxy, tls=trust) as engine,
        ):
            assert (await ask(engine, play)).content == b"hello"
            assert (await ask(engine, play)).content == b"hello"
            place = seen.url.removeprefix("https://").encode()
            (head,) = heads
            assert head.startswith(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (place, place))
            assert b"\r\nproxy-authorization: Basic " in head
            assert b"proxy-authorization" not in seen.requests[0][0]

    run(scene())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "the proxy answered '407 Proxy Authentication Required'",
        ),
        (b"SSH-2.0-x\r\n\r\n", "the proxy answered 'SSH-2.0-x'"),
        (b"x" * 100_000, None),
        (b"", "the proxy hung up"),
        (b"HTTP/1.1 200", "the proxy hung up"),
    ],
)
def test_a_proxy_that_will_not(run, play, reply, reason):
    async def scene():
        async with (
            proxy_of(play, reply=reply) as (proxy, _),
            connected("https://far.example", proxy=proxy, tls=trust) as engine,
        ):
            message = await refusal(engine, play)
            start = f"peer p: cannot connect to https://far.example through {proxy}: "
            assert message.startswith(start)
            assert reason is None or message == start + reason
            assert len(message) < 400
            assert "secret" not in message

    run(scene())


def test_a_proxy_that_does_not_answer(run, play):
    async def scene():
        async def silent(reader, writer, seen):
            await reader.read(2**16)
            await reader.read()
            seen.hung_up.set()

        async with play.engine(silent) as seen:
            proxy = Proxy.parse(seen.url)
            async with connected("https://far.example", proxy=proxy, tls=trust) as engine:
                with pytest.raises(UpstreamTimeout) as late:
                    await ask(engine, play, connect=0.1)
            assert late.value.message == (
                f"peer p: no connection to https://far.example through {proxy} within 0.1 s"
            )
            await seen.hung_up.wait()

    run(scene())


def test_a_proxy_that_cannot_be_used_is_not_gone_around(run, play):
    async def scene():
        proxy = Proxy("", 0, problem="it is no proxy")
        async with (
            play.engine(play.answers(OK)) as seen,
            connected(seen.url, proxy=proxy) as engine,
        ):
            assert (await refusal(engine, play)).endswith("through a proxy: it is no proxy")
            assert seen.connections == 0

    run(scene())

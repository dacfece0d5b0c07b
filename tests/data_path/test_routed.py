"""The way to a model's server through its router, played against scripted routers on real sockets."""

import contextlib

import pytest

from corral.config.relaying import Timeouts
from corral.errors import UpstreamUnreachable
from corral.gateway import ports
from corral.gateway.ports import Outgoing
from corral.host.router_upstream import RoutedUpstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HEAD = b"HTTP/1.1 %d X\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"
BROKEN = b"proxy error: Failed to read connection"
REASON = "m: its server is gone, says its router: failed to read connection"
SWITCH = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly"


def chunked(status, *pieces):
    return HEAD % status + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@contextlib.asynccontextmanager
async def connected(seen):
    upstream = RoutedUpstream(seen.url, "a b/ü", name="m", timeouts=Timeouts())
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def ask(upstream, play, method=b"POST", target=b"/v1", body=b"{}"):
    answer = play.Recorder()
    try:
        request = Outgoing(method, target, [(b"host", b"h")], body)
        await upstream.exchange(request, answer, connect=5, idle=10)
    except UpstreamUnreachable as error:
        answer.error = error.message
    else:
        answer.error = ""
    return answer


def test_it_fits_the_port():
    upstream: ports.Upstream = RoutedUpstream("http://h:1", "x", name="m", timeouts=Timeouts())
    assert repr(upstream) == "<RoutedUpstream model=x <Engine m http://h:1: 0 busy, 0 idle>>"
    upstream.timeouts = Timeouts(idle_conn=1)
    assert upstream.timeouts.idle_conn == 1


@pytest.mark.parametrize(
    ("method", "target", "seen_as"),
    [
        (b"POST", b"/v1", b"/v1?autoload=false"),
        (b"POST", b"/v1?x=%20&model=m", b"/v1?x=%20&model=m&autoload=false"),
        (b"POST", b"/v1?autoload=true&&autoload=1", b"/v1?autoload=false"),
        (b"GET", b"/props", b"/props?autoload=false&model=a%20b%2F%C3%BC"),
        (b"GET", b"/p?mod%65l=m&a=1", b"/p?a=1&autoload=false&model=a%20b%2F%C3%BC"),
        (b"DELETE", b"/x?a", b"/x?a&autoload=false&model=a%20b%2F%C3%BC"),
    ],
)
def test_a_request_as_the_router_wants_it(run, play, method, target, seen_as):
    async def scene():
        async with play.engine(play.answers(OK)) as seen, connected(seen) as upstream:
            answer = await ask(upstream, play, method, target, b"{}" if method == b"POST" else b"")
            assert (answer.status, answer.content, answer.error) == (200, b"hello", "")
            [(head, _)] = seen.requests
            assert head.startswith(method + b" " + seen_as + b" HTTP/1.1\r\n")

    run(scene())


@pytest.mark.parametrize("byte_wise", [False, True])
def test_a_stream_whose_server_dies_is_no_whole_one(run, play, byte_wise):
    async def scene():
        text = chunked(200, b"data: 1\n\n", BROKEN)
        script = play.answers(text, byte_wise=byte_wise)
        async with play.engine(script) as seen, connected(seen) as upstream:
            answer = await ask(upstream, play)
            assert (answer.status, answer.content) == (200, b"data: 1\n\n")
            assert answer.error == REASON

    run(scene())


def test_one_that_dies_before_the_head_has_given_no_answer(run, play):
    async def scene():
        async with (
            play.engine(play.answers(chunked(500, BROKEN))) as seen,
            connected(seen) as upstream,
        ):
            answer = await ask(upstream, play)
            assert answer.status == 0
            assert answer.error == REASON

    run(scene())


@pytest.mark.parametrize("byte_wise", [False, True])
@pytest.mark.parametrize(
    ("status", "pieces"),
    [
        (500, (b'{"error": 1}',)),
        (500, ()),
        (200, (b"data: proxy error: no\n\n", b"p", b"proxy", b"proxy error")),
        (200, (b"pro", b"pose")),
        (200, (BROKEN + b"\n", BROKEN, b"\n", BROKEN + b"x" * 500)),
        (404, (b"proxy error",)),
    ],
)
def test_all_else_passes(run, play, byte_wise, status, pieces):
    async def scene():
        script = play.answers(chunked(status, *pieces), byte_wise=byte_wise)
        async with play.engine(script) as seen, connected(seen) as upstream:
            answer = await ask(upstream, play)
            assert (answer.status, bytes(answer.content)) == (status, b"".join(pieces))
            assert answer.error == ""

    run(scene())


def test_an_upgrade_goes_there_too(run, play):
    async def scene():
        async with play.engine(play.answers(SWITCH)) as seen, connected(seen) as upstream:
            headers = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
            request = Outgoing(b"GET", b"/ws", headers, b"")
            answer = play.Recorder()
            async with upstream.upgrade(request, answer, connect=5, idle=10) as switched:
                assert switched.early == b"early"
            [(head, _)] = seen.requests
            assert head.startswith(b"GET /ws?autoload=false&model=a%20b")

    run(scene())

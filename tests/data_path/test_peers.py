"""Peers on real sockets: what they are told, when they count as down, and what a reload does to them."""

import asyncio
import contextlib

import pytest

from corral.config.remote import Peer, PeerTimeouts
from corral.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from corral.gateway import ports
from corral.gateway.ports import Outgoing
from corral.host import peers as module
from corral.host.peers import Peers

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLIENTS = [
    (b"host", b"client.example"),
    (b"authorization", b"Bearer mine"),
    (b"x-api-key", b"mine"),
    (b"x-other", b"1"),
]
GET = Outgoing(b"GET", b"/x", CLIENTS, b"")


def row(url, **more):
    return Peer(proxy=url, models=("m",), **more)


async def ask(peers, play, name="p", *, connect=10.0, idle=10.0):
    answer = play.Recorder()
    await peers.upstream(name).exchange(GET, answer, connect=connect, idle=idle)
    return answer


def test_they_fit_the_port():
    known: ports.Peers = Peers({"p": row("http://127.0.0.1:1")}, {})
    assert "peer p http://127.0.0.1:1: 0 busy, 0 idle" in repr(known)


def fields(head):
    return dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n")[1:])


def test_a_peer_is_told_its_own_name_and_its_own_key(run, play):
    async def scene():
        async with play.engine(play.answers(OK, OK)) as seen:
            host = seen.url.removeprefix("http://").encode()
            rows = {"p": row(seen.url + "/base/", api_key="kéy"), "q": row(seen.url)}
            async with Peers(rows, {}) as peers:
                assert (await ask(peers, play)).content == b"hello"
                await ask(peers, play, "q")
            (first, _), (second, _) = seen.requests
            assert first.startswith(b"GET /base/x HTTP/1.1\r\n")
            key = "kéy".encode()
            assert fields(first) == {
                b"x-other": b"1",
                b"host": host,
                b"authorization": b"Bearer " + key,
                b"x-api-key": key,
            }
            assert fields(second) == dict(CLIENTS) | {b"host": host}

    run(scene())


def test_a_peer_that_cannot_be_reached_is_down_for_a_while_that_grows(run, play, monkeypatch):
    async def scene():
        loop = asyncio.get_running_loop()
        async with play.engine(play.answers(OK, OK)) as seen:
            seen.server.close()
            async with Peers({"p": row(seen.url)}, {}) as peers:
                remote = peers.upstream("p")
                pauses = []
                for _ in range(7):
                    assert peers.available("p")
                    with pytest.raises(UpstreamUnreachable, match=r"^peer p: cannot connect to"):
                        await ask(peers, play)
                    assert not peers.available("p")
                    pauses.append(round(remote._down_until - loop.time()))
                    remote._down_until = loop.time()  # white box: the while is over
                assert pauses == [1, 2, 5, 15, 60, 60, 60]

    run(scene())


def test_an_answer_ends_it(run, play, monkeypatch):
    monkeypatch.setattr(module, "BACKOFF", (60,))

    async def scene():
        async def script(reader, writer, seen):
            await play.request(reader, seen)
            if seen.connections > 1:
                writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

        async with play.engine(script) as seen, Peers({"p": row(seen.url)}, {}) as peers:
            with pytest.raises(UpstreamUnreachable):
                await ask(peers, play)
            assert not peers.available("p")
            assert (await ask(peers, play)).status == 503
            assert peers.available("p")
            assert peers.upstream("p")._failures == 0

    run(scene())


def test_requests_that_fail_together_count_once(run, play):
    async def scene():
        together = asyncio.Barrier(5)

        async def script(reader, writer, seen):
            await together.wait()

        async with play.engine(script) as seen, Peers({"p": row(seen.url)}, {}) as peers:
            failed = await asyncio.gather(
                *(ask(peers, play) for _ in range(5)), return_exceptions=True
            )
            assert {type(error) for error in failed} == {UpstreamUnreachable}
            assert peers.upstream("p")._failures == 1

    run(scene())


@pytest.mark.parametrize(
    ("answer", "error", "up"),
    [
        (b"", UpstreamTimeout, False),
        (b"SSH-2.0-x\r\n", UpstreamInvalid, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", UpstreamTimeout, True),
    ],
)
def test_what_counts_is_what_happens_before_the_answer(run, play, answer, error, up):
    async def scene():
        async with (
            play.engine(play.answers(answer)) as seen,
            Peers({"p": row(seen.url)}, {}) as peers,
        ):
            with pytest.raises(error):
                await ask(peers, play, idle=0.2)
            assert peers.available("p") is up

    run(scene())


def test_a_client_that_leaves_says_nothing_about_the_peer(run, play):
    async def scene():
        async with play.engine(play.answers(b"")) as seen, Peers({"p": row(seen.url)}, {}) as peers:
            asking = asyncio.create_task(ask(peers, play))
            await seen.asked.wait()
            asking.cancel()
            await asyncio.wait([asking])
            assert peers.available("p")

    run(scene())


def test_a_reload_keeps_what_stays_and_lets_the_rest_finish(run, play):
    async def scene():
        go_on = asyncio.Event()

        async def script(reader, writer, seen):
            while await play.request(reader, seen):
                await go_on.wait()
                writer.write(OK)

        async with play.engine(script) as seen:
            old = {name: row(seen.url) for name in ("same", "timed", "keyed", "gone")}
            async with Peers(old, {}) as peers:
                before = {name: peers.upstream(name) for name in old}
                asking = {name: asyncio.create_task(ask(peers, play, name)) for name in old}
                while len(seen.requests) < 4:  # noqa: ASYNC110 - each comes on a connection of its own
                    await asyncio.sleep(0)
                peers.adopt(
                    {
                        "same": row(seen.url),
                        "timed": row(seen.url, timeouts=PeerTimeouts(idle_conn=5)),
                        "keyed": row(seen.url, api_key="k"),
                        "new": row(seen.url),
                    }
                )
                go_on.set()
                for task in asking.values():
                    assert (await task).content == b"hello"
                kept = {name for name in old if name != "gone"}
                kept = {name for name in kept if peers.upstream(name) is before[name]}
                assert kept == {"same", "timed"}
                assert before["timed"]._engine.timeouts == PeerTimeouts(idle_conn=5)
                with pytest.raises(
                    UpstreamUnreachable, match="peer gone is not configured any more"
                ):
                    peers.upstream("gone")
                assert not peers.available("gone")
                assert len(seen.requests) == seen.connections == 4
                for name in ("same", "timed", "keyed", "new"):
                    await ask(peers, play, name)
                assert seen.connections == 6
                peers.adopt({})
                assert repr(peers) == "<Peers: >"
                assert not peers._leaving

    run(scene())


def test_leaving_ends_what_is_under_way_also_of_those_that_are_gone(run, play):
    async def scene():
        async with play.engine(play.answers(b"")) as seen:
            async with Peers({"p": row(seen.url), "q": row(seen.url)}, {}) as peers:
                asking = [asyncio.create_task(ask(peers, play, name)) for name in ("p", "q")]
                while len(seen.requests) < 2:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
                peers.adopt({"p": row(seen.url)})
            for task in asking:
                with pytest.raises(UpstreamUnreachable):
                    await task

    run(scene())


def test_the_environments_proxy_is_on_the_way(run, play):
    async def scene():
        async with play.engine(play.answers(OK)) as seen:
            environment = {"HTTP_PROXY": seen.url, "NO_PROXY": "near.example"}
            far = row("http://far.example/v1")
            async with Peers({"p": far}, environment) as peers:
                assert (await ask(peers, play)).content == b"hello"
            head = seen.requests[0][0]
            assert head.startswith(b"GET http://far.example/v1/x HTTP/1.1\r\n")
            assert b"\r\nhost: far.example\r\n" in head

    run(scene())


def test_a_tunnel_to_a_peer_counts_too(run, play):
    async def scene():
        switch = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi"

        async def script(reader, writer, seen):
            await play.request(reader, seen)
            if seen.connections > 1:
                writer.write(switch)
                await reader.read()
                seen.hung_up.set()

        async with play.engine(script) as seen, Peers({"p": row(seen.url)}, {}) as peers:
            remote, answer = peers.upstream("p"), play.Recorder()
            asked = Outgoing(b"GET", b"/ws", [(b"connection", b"upgrade")], b"")

            def upgrade():
                return remote.upgrade(asked, answer, connect=5, idle=5)

            with pytest.raises(UpstreamUnreachable):
                async with upgrade():
                    pass
            assert not peers.available("p")
            async with upgrade() as switched:
                assert (switched.early, remote.busy) == (b"hi", 1)
                assert (b"upgrade", b"websocket") in switched.headers
                assert peers.available("p")
            await seen.hung_up.wait()
            with contextlib.suppress(TimeoutError):
                async with upgrade():
                    raise TimeoutError
            assert peers.available("p")
            assert remote.busy == 0

    run(scene())

"""The client's side: bodies of every size, and who is there."""

import asyncio

import pytest

from corral.errors import BodyTooLarge
from corral.gateway.relay import ClientLeft
from corral.server import bodies, front

LEFT = {"type": "http.disconnect"}


def piece(content, *, more=False):
    return {"type": "http.request", "body": content, "more_body": more}


class Client:
    """A `receive` that plays messages, then waits."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.asked = 0
        self.played = asyncio.Event()

    async def __call__(self):
        self.asked += 1
        if self.messages:
            if len(self.messages) == 1:
                self.played.set()
            return self.messages.pop(0)
        return await asyncio.Event().wait()


class Shelf:
    """A spool in memory."""

    def __init__(self):
        self.content = b""
        self.feeds = 0
        self.closed = False

    @property
    def size(self):
        return len(self.content)

    async def feed(self, chunk):
        self.feeds += 1
        self.content += chunk

    async def chunks(self):
        yield self.content

    def close(self):
        self.closed = True


def read(client, limit=100, headers=(), shelf=None):
    return bodies.read({"headers": list(headers)}, client, limit, lambda: shelf)


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"hello")],
        [piece(b"he", more=True), piece(b"llo")],
        [piece(b"", more=True), piece(b"hello", more=True), piece(b"")],
        [piece(bytes([c]), more=True) for c in b"hello"] + [{"type": "http.request"}],
    ],
)
def test_a_small_body_is_bytes(run, messages):
    async def scene():
        assert await read(Client(*messages)) == b"hello"

    run(scene())


def test_a_large_body_goes_to_the_spool(run, monkeypatch):
    monkeypatch.setattr(bodies, "IN_MEMORY", 4)

    async def scene():
        shelf = Shelf()
        pieces = [piece(b"abc", more=True), piece(b"def", more=True), piece(b"ghi")]
        assert await read(Client(*pieces), shelf=shelf) is shelf
        assert (shelf.content, shelf.feeds, shelf.closed) == (b"abcdefghi", 2, False)
        shelf = Shelf()
        assert await read(Client(piece(b"abcde")), shelf=shelf) is shelf

    run(scene())


def test_a_declared_length_over_the_limit_is_refused_unread(run):
    async def scene():
        client = Client(piece(b"x" * 101))
        with pytest.raises(BodyTooLarge, match="100 bytes"):
            await read(client, headers=[(b"content-length", b"101")])
        assert client.asked == 0

    run(scene())


@pytest.mark.parametrize("in_memory", [4, 1000])
@pytest.mark.parametrize("size", [1, 60, 101])
def test_an_undeclared_length_is_refused_where_it_crosses_the_limit(
    run, monkeypatch, in_memory, size
):
    monkeypatch.setattr(bodies, "IN_MEMORY", in_memory)

    async def scene():
        shelf, client = Shelf(), Client(*[piece(b"x" * size, more=True)] * 200)
        with pytest.raises(BodyTooLarge):
            await read(client, shelf=shelf)
        assert client.asked == 100 // size + 1
        assert shelf.closed is (shelf.feeds > 0)

    run(scene())


@pytest.mark.parametrize("sent", [[], [piece(b"abc", more=True)], [piece(b"abcdef", more=True)]])
def test_a_client_that_leaves_while_it_sends(run, monkeypatch, sent):
    monkeypatch.setattr(bodies, "IN_MEMORY", 4)

    async def scene():
        shelf = Shelf()
        with pytest.raises(ClientLeft):
            await read(Client(*sent, LEFT), shelf=shelf)
        assert shelf.closed is (shelf.feeds > 0)

    run(scene())


def test_the_block_ends_quietly_when_its_client_leaves(run):
    async def scene():
        reached = False
        async with front.watch({}, Client(LEFT)) as client:
            await asyncio.Event().wait()
            reached = True
        assert client.left
        assert not reached
        assert asyncio.current_task().cancelling() == 0

    run(scene())


def test_somebody_elses_cancellation_goes_on(run):
    async def scene():
        started = asyncio.Event()

        async def watching():
            async with front.watch({}, Client()):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(watching())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scene())


def test_a_failure_in_the_block_comes_out(run):
    async def scene():
        with pytest.raises(KeyError):
            async with front.watch({}, Client()) as client:
                raise KeyError
        assert not client.left

    run(scene())


def test_what_the_client_does_after_the_answer_no_longer_matters(run):
    async def scene():
        receive = Client(LEFT)
        async with front.watch({}, receive) as client:
            client.finished()
            await receive.played.wait()
            await asyncio.sleep(0)  # a turn in which its leaving would be noticed
        assert not client.left

    run(scene())


def test_a_relay_that_found_nobody_ends_the_block_too(run):
    async def scene():
        async with front.watch({}, Client()) as client:
            raise ClientLeft
        assert client.left

    run(scene())

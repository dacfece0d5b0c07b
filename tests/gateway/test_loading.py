"""What a client is told while it waits, and how its answer goes on from there."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.dialects import endpoints
from corral.dialects.anthropic import ANTHROPIC
from corral.errors import Cancelled, CorralError, LoadFailed, QueueFull
from corral.gateway import loading
from corral.gateway.exchange import Exchange
from corral.gateway.inference import Call
from corral.gateway.relay import ClientLeft
from corral.wire import sse

CHAT = endpoints.find("POST", "/v1/chat/completions")
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
ANSWER = (b'data: {"n":1}\n\n', b"data: [DONE]\n\n")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(loading, "GRACE", 0.01)
    monkeypatch.setattr(loading, "PACE", 0.01)


class Client:
    """A client of a chat stream: what it heard, and what became of it."""

    paused = False

    def __init__(self, model="a", endpoint=CHAT, stream=True, headers=()):
        self.heard, self.cuts, self.gone = [], 0, False
        self.takes = asyncio.Event()
        self.takes.set()
        body = json.dumps({"model": model, "stream": stream}).encode()
        fields = [(b"content-type", b"application/json"), *headers]
        path = endpoint.path
        self.exchange = Exchange("POST", path, endpoint, "r-1", model, "", fields, body)
        self.call = Call(b"POST", b"", fields, body, self.exchange, self.failed)
        self.endpoint = endpoint

    def failed(self, error):
        return b"\n\n" + self.endpoint.dialect.stream(error, 503)

    def finished(self):
        pass

    def cut(self):
        self.cuts += 1

    async def send(self, message):
        if self.gone:
            raise OSError("gone")
        if self.paused:  # as under any server but corral's own
            await asyncio.sleep(0)
            await self.takes.wait()
        self.heard.append(message)

    async def asks(self, house):
        return await house.gateway.inference.serve(self.call, self.endpoint, self.send, self)

    @property
    def heads(self):
        return [one for one in self.heard if one["type"] == "http.response.start"]

    @property
    def text(self):
        return b"".join(one.get("body", b"") for one in self.heard)

    @property
    def ended(self):
        return bool(self.heard) and self.heard[-1].get("more_body") is False

    @property
    def events(self):
        return [event.data for event in sse.Parser().feed(self.text)]

    @property
    def told(self):
        """What a person reads."""
        chunks = (json.loads(data) for data in self.events if data.startswith('{"id"'))
        return "".join(chunk["choices"][0]["delta"]["reasoning_content"] for chunk in chunks)

    def was_told(self, text):
        return lambda: text in self.told


@pytest.fixture
def tells(world, play):
    """`tells(scene, *models)`: a house whose models tell, and whose engines stream `ANSWER`."""

    def go(scene, *models, more="", upstream=None, run=world.alone):
        connect = upstream or (lambda model: world.Upstream(*ANSWER, headers=STREAM))
        text = run(*(models or ("a",)), more=f"sendLoadingState: true\n{more}")
        play(text, scene, connect=connect)

    return go


async def told(house, client, text="loading model"):
    """Have it ask; its task, once it was told."""
    task = asyncio.create_task(client.asks(house))
    await house.until(lambda: client.was_told(text)() or task.done())
    return task


def test_a_banner_then_the_answer(tells):
    async def scene(house):
        house.obey()
        client = Client(headers=[(b"accept-encoding", b"gzip"), (b"x-mine", b"1")])
        task = await told(house, client)
        assert client.exchange.status == 200
        await house.until(client.was_told(".."))
        house.clock.time += 1.5
        house.processes.ready("a")
        assert await task is None
        assert len(client.heads) == 1
        assert client.ended
        assert client.cuts == 0
        assert client.text.endswith(b"".join(ANSWER))
        assert client.told.startswith("━━━━━━━━━━━━\nloading model a\n..")
        assert client.told.endswith("\nDone! (1.50s)\n━━━━━━━━━━━━\n")
        headers = dict(client.heads[0]["headers"])
        assert headers[b"content-type"] == b"text/event-stream"
        assert (headers[b"x-request-id"], headers[b"x-corral-model"]) == (b"r-1", b"a")
        assert client.exchange.bytes_out == len(b"".join(ANSWER))
        assert client.exchange.load_ms == 1500
        (asked,) = house.processes.upstream("a").asked
        assert (b"x-mine", b"1") in asked.headers
        assert b"accept-encoding" not in dict(asked.headers)

    tells(scene)


def test_a_chunk_is_complete(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.processes.ready("a")
        await task
        chunk = json.loads(client.events[0])
        assert chunk["id"] == "chatcmpl-r-1"
        assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", "a")
        assert chunk["created"] == int(client.exchange.began)
        (choice,) = chunk["choices"]
        assert (choice["index"], choice["finish_reason"]) == (0, None)
        assert set(choice["delta"]) == {"reasoning_content"}

    tells(scene)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages"])
def test_where_text_would_be_taken_for_the_answers_it_is_a_comment(tells, path):
    async def scene(house):
        house.obey()
        client = Client(endpoint=endpoints.find("POST", path))
        task = asyncio.create_task(client.asks(house))
        await house.until(lambda: b": ." in client.text)
        house.processes.ready("a")
        await task
        assert b"loading model a" in client.text
        assert b"Done!" in client.text
        pings = [data for data in client.events if data == '{"type":"ping"}']
        assert bool(pings) == (path == "/v1/messages")
        assert client.events[len(pings) :] == ['{"n":1}', "[DONE]"]

    tells(scene)


def test_two_who_wait_hear_of_their_places(tells):
    async def scene(house):
        house.obey()
        async with house.using("b") as _:  # so that nobody's load has begun
            first, second = Client("a"), Client("c")
            task = await told(house, first)
            other = await told(house, second, "queue position: #2")
            assert "queue position" not in first.told
            task.cancel()
            await asyncio.wait([task])
            await house.until(second.was_told("queue position: #1"))
            other.cancel()
            await asyncio.wait([other])

    async def with_b(house):
        house.obey("b")
        await house.use("b")
        await scene(house)

    tells(with_b, "a", "b", "c")


def test_the_time_is_given_now_and_then(tells, monkeypatch):
    monkeypatch.setattr(loading, "TIME_EVERY", 3)

    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.clock.time += 7
        await house.until(client.was_told(" 7 s\n"))
        house.processes.ready("a")
        await task

    tells(scene)


# --- nothing is told ---


def heard_nothing_but_the_answer(client):
    return len(client.heads) == 1 and client.text == b"".join(ANSWER)


def test_a_model_that_is_ready_tells_nothing(tells):
    async def scene(house):
        await house.use("a")
        client = Client()
        await client.asks(house)
        assert heard_nothing_but_the_answer(client)
        assert b"x-corral-load-ms" in dict(client.heads[0]["headers"])

    tells(scene)


def test_a_quick_load_tells_nothing(tells, monkeypatch):
    monkeypatch.setattr(loading, "GRACE", 30)

    async def scene(house):
        client = Client()
        await client.asks(house)
        assert heard_nothing_but_the_answer(client)

    tells(scene)


@pytest.mark.parametrize(
    ("client", "config"),
    [
        ({"stream": False}, "sendLoadingState: true\n"),
        ({"endpoint": endpoints.find("POST", "/completion")}, "sendLoadingState: true\n"),
        ({}, ""),
    ],
)
def test_nobody_who_did_not_ask_for_it_is_told(world, play, client, config):
    async def scene(house):
        house.obey()
        one = Client(**client)
        task = asyncio.create_task(one.asks(house))
        await house.loading("a")
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("loading: ")]
        house.processes.ready("a")
        await task
        assert one.text == b"".join(ANSWER)

    connect = lambda model: world.Upstream(*ANSWER, headers=STREAM)  # noqa: E731
    play(world.alone("a", more=config), scene, connect=connect)


def test_what_is_refused_at_once_is_refused_with_its_status(tells):
    async def scene(house):
        house.obey()
        async with house.using("b"):
            waiting = await told(house, Client("a"))
            client = Client("a")
            with pytest.raises(QueueFull):
                await client.asks(house)
            assert client.heard == []
            waiting.cancel()
            await asyncio.wait([waiting])

    async def with_b(house):
        house.obey("b")
        await house.use("b")
        await scene(house)

    tells(with_b, "a", "b", more="routing: {scheduler: {settings: {fair: {maxQueue: 1}}}}\n")


def test_what_the_check_finds_is_refused_with_its_status(tells, monkeypatch):
    monkeypatch.setattr(loading, "GRACE", 30)

    async def scene(house):
        house.processes.problems["a"] = LoadFailed("there is no such file")
        client = Client()
        with pytest.raises(LoadFailed, match="no such file"):
            await client.asks(house)
        assert client.heard == []

    tells(scene)


# --- it goes wrong after all ---


def broken(client, error, code, text):
    """The client has one head, the dialect's error as the last event, and no end."""
    assert error.code == code
    assert text in error.message
    shown = json.loads(client.events[-1])["error"]
    assert shown["code"] == code
    assert text in shown["message"]
    assert client.exchange.error == error.message
    assert (len(client.heads), client.ended, client.cuts) == (1, False, 1)
    return True


def test_a_load_that_fails(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.processes.exit("a")
        assert broken(client, await task, "model_load_failed", "a exited with 1")
        assert "Done" not in client.told

    tells(scene)


def test_an_unload_while_it_waits(tells):
    async def scene(house):
        house.obey("b")
        client = Client()
        task = await told(house, client)
        unloading = asyncio.create_task(house.engine.unload(["a"]))
        assert broken(client, await task, "model_unloaded", "")
        house.processes.exit("a")
        await unloading

    tells(scene)


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (
            (400, b"application/json", b'{"error":{"message":"9026 tokens are too many"}}'),
            "upstream_refused",
            "9026 tokens are too many",
        ),
        ((503, b"text/plain", b"busy"), "upstream_refused", "the engine answered 503"),
        ((200, b"application/json", b'{"choices":[]}'), "upstream_invalid", "application/json"),
        ((200, b"", b""), "upstream_invalid", "something without a type"),
    ],
)
def test_an_engine_that_answers_with_something_else(world, tells, answer, code, text):
    status, kind, body = answer
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]

    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.processes.ready("a")
        assert broken(client, await task, code, text)
        assert "Done!" in client.told

    tells(scene, upstream=lambda model: world.Upstream(body, status=status, headers=headers))


def test_an_engine_that_encodes_although_nobody_asked_it_to(world, tells):
    headers = [*STREAM, (b"content-encoding", b"gzip")]

    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.processes.ready("a")
        assert broken(client, await task, "upstream_invalid", "gzip")

    tells(scene, upstream=lambda model: world.Upstream(b"\x1f\x8b", headers=headers))


def test_an_engine_that_died_at_the_last_moment(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        house.processes.ready("a")
        house.processes.exit("a")  # in the same turn of the loop
        assert broken(client, await task, "upstream_unreachable", "")

    tells(scene)


def test_a_call_that_is_called_off(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        client.exchange.task = task
        client.exchange.cancel(Cancelled("this request was cancelled"))
        error = await task
        assert json.loads(client.events[-1])["error"]["message"] == error.message
        assert client.cuts == 1

    tells(scene)


def test_anthropics_error(tells):
    async def scene(house):
        house.obey()
        client = Client(endpoint=endpoints.find("POST", "/v1/messages"))
        task = asyncio.create_task(client.asks(house))
        await house.until(lambda: b"ping" in client.text)
        house.processes.exit("a")
        error = await task
        assert client.text.endswith(ANTHROPIC.stream(error, 503))

    tells(scene)


# --- the client ---


def test_a_client_that_leaves_departs(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert house.machine.position(1) is None
        heard = len(client.heard)
        house.processes.ready("a")
        await asyncio.sleep(0)
        assert len(client.heard) == heard

    tells(scene)


def test_a_client_that_is_found_gone(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        client.gone = True
        await house.until(lambda: all("loading: " not in t.get_name() for t in asyncio.all_tasks()))
        house.processes.ready("a")
        with pytest.raises(ClientLeft):
            await task
        assert house.machine.in_flight("a") == 0

    tells(scene)


def test_under_a_server_whose_send_suspends(tells):
    async def scene(house):
        house.obey()
        client = Client()
        client.paused = True
        task = await told(house, client)
        house.processes.ready("a")
        await task
        assert len(client.heads) == 1
        assert client.text.endswith(b"".join(ANSWER))
        assert client.ended

    tells(scene)


def test_a_client_that_takes_nothing_delays_nobody_and_is_cut_in_the_end(tells):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        client.paused = True
        client.takes.clear()
        house.processes.ready("a")
        async with house.using("a"):  # somebody else is served meanwhile
            assert not client.ended
        assert (await task).code == "upstream_timeout"
        assert client.cuts == 1
        assert house.machine.in_flight("a") == 0

    tells(scene, "a: {timeouts: {idle: 0.05}}")


def test_a_defect_is_nobodys_error_and_leaves_nothing_behind(tells, world, monkeypatch):
    async def scene(house):
        house.obey()
        client = Client()
        task = await told(house, client)
        monkeypatch.setattr(house.processes, "upstream", lambda model: 1 / 0)
        house.processes.ready("a")
        with pytest.raises(ZeroDivisionError):
            await task
        assert not client.ended
        assert not issubclass(ZeroDivisionError, CorralError)

    tells(scene)

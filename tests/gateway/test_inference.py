"""The life of a request: which model it is for, what of it changes on the way, and what the engine and the client get."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import pytest

from corral.dialects import endpoints
from corral.errors import InvalidRequest, ModelNotFound, ModelRequired, UpstreamUnreachable
from corral.gateway.exchange import Exchange
from corral.gateway.inference import Call
from corral.host.spool import Spool

CHAT = endpoints.find("POST", "/v1/chat/completions")
SPEECH = endpoints.find("POST", "/v1/audio/transcriptions")
PROPS = endpoints.find("GET", "/props")
BOUNDARY = b"XX"
MULTIPART = b"multipart/form-data; boundary=XX"


class Listener:
    """A client that is there and quick."""

    paused = False

    def __init__(self):
        self.heard = []

    def finished(self):
        pass

    def cut(self):
        raise AssertionError("an answer was cut")

    async def send(self, message):
        self.heard.append(message)

    @property
    def headers(self):
        return dict(self.heard[0]["headers"])


def call(body=b"", *, method=b"POST", query=b"", kind=b"application/json", headers=()):
    fields = [(b"content-type", kind), *headers]
    exchange = Exchange("POST", "/v1/chat/completions", None, "r-1", "", "", fields, body)
    return Call(method, query, fields, body, exchange, lambda error: None)


def form(**fields):
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--XX--\r\n"


@pytest.fixture
def serve(world):
    """`await serve(house, call, endpoint)`: serve it; (what the engine was asked, its body, the listener)."""

    async def go(house, one, endpoint=CHAT):
        listener = Listener()
        await house.gateway.inference.serve(one, endpoint, listener.send, listener)
        used = house.engine.processes.upstream(house.engine.last_used)
        return used.asked[-1], used.bodies[-1], listener

    return go


# --- which model ---


def test_the_body_goes_on_byte_for_byte(play, world, serve):
    async def scene(house):
        body = b'{ "x":1.0e0,\t"model" : "a" ,"y":"\\u00e9"}'
        asked, sent, listener = await serve(house, call(body))
        assert (asked.method, asked.target, sent) == (b"POST", b"/v1/chat/completions", body)
        assert asked.body is body
        assert listener.heard[0]["status"] == 200
        assert b"".join(message.get("body", b"") for message in listener.heard) == b"{}"

    play(world.alone("a"), scene)


def test_an_alias_finds_the_model_and_stays_in_the_body(play, world, serve):
    async def scene(house):
        _, sent, listener = await serve(house, call(b'{"model":"nick"}'))
        assert sent == b'{"model":"nick"}'
        assert listener.headers[b"x-corral-model"] == b"a"

    play(world.alone("a: {aliases: [nick]}"), scene)


def test_active_is_the_model_that_was_last_used(play, world, serve):
    async def scene(house):
        with pytest.raises(ModelNotFound, match="no model is active"):
            await serve(house, call(b'{"model":"active"}'))
        await serve(house, call(b'{"model":"b"}'))
        _, _, listener = await serve(house, call(b'{"model":"active"}'))
        assert listener.headers[b"x-corral-model"] == b"b"
        await house.engine.unload(["b"])
        _, _, listener = await serve(house, call(b'{"model":"active"}'))
        assert listener.headers[b"x-corral-model"] == b"b"

    play(world.alone("a", "b"), scene)


@pytest.mark.parametrize("model", ["active", "other: {aliases: [active]}"])
def test_a_configured_name_wins_over_active(play, world, serve, model):
    async def scene(house):
        await house.use("b")
        _, _, listener = await serve(house, call(b'{"model":"active"}'))
        assert listener.headers[b"x-corral-model"] == model.partition(":")[0].encode()

    play(world.alone(model, "b"), scene)


def test_no_model_named_takes_the_default(play, world, serve):
    async def scene(house):
        _, sent, listener = await serve(house, call(b'{"messages":[]}'))
        assert sent == b'{"messages":[]}'
        assert listener.headers[b"x-corral-model"] == b"b"

    play(world.alone("a", "b", more="defaultModel: b\n"), scene)


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b"{}", ModelRequired, "names no model"),
        (b'{"model":""}', ModelRequired, "names no model"),
        (b'{"model":7}', InvalidRequest, "must be text"),
        (b"", InvalidRequest, "empty"),
        (b"model=a", InvalidRequest, "not JSON"),
        (b"[1]", InvalidRequest, "JSON object"),
        (b'{"model":"qwem"}', ModelNotFound, "did you mean `qwen`"),
    ],
)
def test_what_cannot_be_served_wakes_nobody(play, world, serve, body, error, text):
    async def scene(house):
        with pytest.raises(error, match=text):
            await serve(house, call(body))
        assert house.machine.facts == []

    play(world.alone("qwen"), scene)


def test_in_the_query(play, world, serve):
    async def scene(house):
        asked, sent, listener = await serve(
            house, call(method=b"GET", query=b"x=%2F&model=nick&y"), PROPS
        )
        assert (asked.method, asked.target, sent) == (b"GET", b"/props?x=%2F&model=real&y", b"")
        assert listener.headers[b"x-corral-model"] == b"a"
        with pytest.raises(ModelRequired):
            await serve(house, call(method=b"GET", query=b"x=1"), PROPS)

    play(world.alone("a: {aliases: [nick], useModelName: real}"), scene)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v/chat/completions", b"/chat/completions"),
        ("/audioapi/v1/tasks/run", b"/v1/tasks/run"),
        ("/rerank", b"/rerank"),
    ],
)
def test_the_engines_path(play, world, serve, path, target):
    async def scene(house):
        asked, _, _ = await serve(house, call(b'{"model":"a"}'), endpoints.find("POST", path))
        assert asked.target == target

    play(world.alone("a"), scene)


# --- what changes ---

RENAMED = "a: {useModelName: 'org/real name é'}"


def test_use_model_name_changes_the_name_and_nothing_else(play, world, serve):
    async def scene(house):
        _, sent, _ = await serve(house, call(b'{ "a":[1, 2], "model" :"a", "stream":true }'))
        assert sent == '{"a":[1, 2],"model":"org/real name é","stream":true}'.encode()
        _, sent, _ = await serve(house, call(b'{"model":"a","model":"a"}'))
        assert sent == '{"model":"org/real name é"}'.encode()

    play(world.alone(RENAMED), scene)


def test_use_model_name_is_added_where_the_default_was_meant(play, world, serve):
    async def scene(house):
        _, sent, _ = await serve(house, call(b'{"x":1}'))
        assert sent == '{"x":1,"model":"org/real name é"}'.encode()

    play(world.alone(RENAMED, more="defaultModel: a\n"), scene)


def test_use_model_name_in_an_urlencoded_form(play, world, serve):
    async def scene(house):
        one = call(b"x=%20&model=a&y=1", kind=b"application/x-www-form-urlencoded; charset=utf-8")
        _, sent, _ = await serve(house, one, SPEECH)
        assert sent.startswith(b"x=%20&model=")
        assert sent.endswith(b"&y=1")
        assert parse_qs(sent.decode())["model"] == ["org/real name é"]

    play(world.alone(RENAMED), scene)


def test_use_model_name_in_a_multipart_form(play, world, serve):
    async def scene(house):
        audio = bytes(range(256)) * 10 + b"--X\r\n"
        before = form(file=audio, model=b"a", language=b"en")
        _, sent, _ = await serve(house, call(before, kind=MULTIPART), SPEECH)
        assert sent == form(file=audio, model="org/real name é".encode(), language=b"en")

    play(world.alone(RENAMED), scene)


@pytest.mark.parametrize(
    ("body", "kind", "target"),
    [
        (form(file=b"x"), MULTIPART, "org/real name é"),
        (form(file=b"x", model=b"b"), MULTIPART, "b"),
        (b"y=1", b"application/x-www-form-urlencoded", "org/real name é"),
    ],
)
def test_beside_a_form_the_query_may_name_the_model(play, world, serve, body, kind, target):
    async def scene(house):
        one = call(body, query=b"x=1&model=a", kind=kind)
        asked, sent, _ = await serve(house, one, SPEECH)
        named = parse_qs(sent.decode())["model"] if kind != MULTIPART else [sent.decode()]
        assert target in named[0]
        assert asked.target == b"/v1/audio/transcriptions?x=1&model=a"

    play(world.alone(RENAMED, "b"), scene)


def test_a_query_beside_json_names_nothing(play, world, serve):
    async def scene(house):
        with pytest.raises(ModelRequired):
            await serve(house, call(b"{}", query=b"model=a"))

    play(world.alone("a"), scene)


@pytest.fixture
def spooled(tmp_path):
    async def go(*pieces):
        spool = Spool(2**26, tmp_path)
        for piece in pieces:
            await spool.feed(piece)
        return spool

    return go


@pytest.mark.parametrize("renamed", [True, False])
def test_a_body_on_disk(play, world, serve, spooled, renamed):
    async def scene(house):
        audio = b"\r\n--X-not-quite" * 2**18
        before = form(file=audio, model=b"a")
        spool = await spooled(*(before[i : i + 2**18] for i in range(0, len(before), 2**18)))
        asked, sent, _ = await serve(house, call(spool, kind=MULTIPART), SPEECH)
        name = "org/real name é".encode() if renamed else b"a"
        assert sent == form(file=audio, model=name)
        assert asked.body.size == len(sent)
        assert (asked.body is spool) is not renamed
        again = b"".join([piece async for piece in asked.body.chunks()])  # as a retry would
        assert again == sent
        spool.close()

    play(world.alone(RENAMED if renamed else "a"), scene)


def test_a_json_body_on_disk(play, world, serve, spooled):
    async def scene(house):
        image = b"A" * 5 * 2**20
        spool = await spooled(b'{"image":"', image, b'","model":"a"}')
        _, sent, _ = await serve(house, call(spool))
        assert sent == b'{"image":"' + image + '","model":"org/real name é"}'.encode()
        spool.close()

    play(world.alone(RENAMED), scene)


def test_a_broken_body_on_disk(play, world, serve, spooled):
    async def scene(house):
        spool = await spooled(b'{"image":"', b"A" * 2**20)
        with pytest.raises(InvalidRequest):
            await serve(house, call(spool))
        assert house.machine.facts == []
        spool.close()

    play(world.alone("a"), scene)


def test_a_form_route_wants_a_form(play, world, serve):
    async def scene(house):
        with pytest.raises(InvalidRequest, match="multipart/form-data"):
            await serve(house, call(b"hello", kind=b"text/plain"), SPEECH)

    play(world.alone("a"), scene)


# --- headers ---


def test_the_clients_headers_go_on_and_the_answers_say_what_it_cost(play, world, serve):
    async def scene(house):
        house.obey()
        one = call(b'{"model":"a"}', headers=[(b"x-mine", b"1"), (b"x-mine", b"2")])
        serving = asyncio.create_task(serve(house, one))
        await house.loading("a")
        house.clock.time += 1.5
        house.processes.ready("a")
        asked, _, listener = await serving
        assert asked.headers == one.headers
        told = {name: value for name, value in listener.headers.items() if name.startswith(b"x-")}
        assert told == {
            b"x-request-id": b"r-1",
            b"x-corral-model": b"a",
            b"x-corral-queue-ms": b"0",
            b"x-corral-load-ms": b"1500",
        }
        _, _, listener = await serve(house, one)
        assert listener.headers[b"x-corral-load-ms"] == b"0"

    play(world.alone("a"), scene)


def test_an_engine_cannot_speak_in_corrals_name(play, world):
    lies = [(b"content-type", b"text/plain"), (b"x-corral-model", b"z"), (b"x-request-id", b"z")]

    async def scene(house):
        listener = Listener()
        await house.gateway.inference.serve(call(b'{"model":"a"}'), CHAT, listener.send, listener)
        sent = listener.heard[0]["headers"]
        assert [value for name, value in sent if name == b"x-corral-model"] == [b"a"]
        assert [value for name, value in sent if name == b"x-request-id"] == [b"r-1"]

    play(world.alone("a"), scene, connect=lambda model: world.Upstream(headers=lies))


# --- leaving ---


def test_a_client_that_leaves_while_it_is_served_ends_the_exchange_and_the_lease(play, world):
    async def scene(house):
        await house.use("a")
        upstream = house.processes.upstream("a")
        upstream.gate.clear()
        listener = Listener()
        work = house.gateway.inference.serve(call(b'{"model":"a"}'), CHAT, listener.send, listener)
        serving = asyncio.create_task(work)
        await house.until(lambda: upstream.asked)
        assert house.machine.in_flight("a") == 1
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert upstream.cancelled == 1
        assert house.machine.in_flight("a") == 0
        assert listener.heard == []

    play(world.alone("a"), scene)


def test_a_process_that_died_between_admission_and_use(play, world, serve):
    async def scene(house):
        house.obey()
        serving = asyncio.create_task(serve(house, call(b'{"model":"a"}')))
        await house.loading("a")
        house.processes.ready("a")
        house.processes.exit("a")  # in the same turn of the loop
        with pytest.raises(UpstreamUnreachable):
            await serving

    play(world.alone("a"), scene)

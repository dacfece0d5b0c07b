"""A scripted engine that talks, and a client that talks to it through a gateway: for the tests of conversations."""

from __future__ import annotations

import asyncio
import json

from corral.dialects import endpoints
from corral.dialects.body import Asked
from corral.errors import UpstreamUnreachable
from corral.gateway.exchange import Exchange
from corral.gateway.inference import Call

CHAT = endpoints.find("POST", "/v1/chat/completions")
RESPONSES = endpoints.find("POST", "/v1/responses")
JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream")]
DONE = b"data: [DONE]\n\n"


class Talker:
    """`ports.Upstream`: answers chats with `text`, in as many pieces, once `gate` is open; tells of its context, and counts, if it can."""

    def __init__(self, text="hello", *, context=None, count=None, status=200, reply=None):
        self.text, self.context, self.count = text, context, count
        self.status, self.reply = status, reply
        self.chats: list[dict] = []
        self.counted = 0
        self.paths: list[str] = []
        self.headers: list[dict] = []
        self.gate, self.end = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.end.set()
        self.breaks = False
        """It dies in the middle of what it says."""
        self.done = True
        """Its streams come to their proper end."""

    async def exchange(self, request, answer, *, connect, idle):
        path = request.target.partition(b"?")[0].decode()
        self.paths.append(path)
        body = request.body
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in body.chunks()])
        if path == "/props":
            self._told(
                answer, self.context and {"default_generation_settings": {"n_ctx": self.context}}
            )
        elif path == "/v1/responses":
            self.chats.append(json.loads(body))
            self._told(answer, self.text and response(len(self.chats), self.text))
        elif path == "/v1/chat/completions":
            self.chats.append(json.loads(body))
            self.headers.append(dict(request.headers))
            await self._said(answer, self.chats[-1].get("stream", False))
        else:
            self.counted += bool(self.count)
            self._told(answer, self.count and {"input_tokens": self.count(json.loads(body))})

    def _told(self, answer, value):
        answer.head(200 if value else 404, list(JSON), self)
        answer.body(json.dumps(value or {"error": "no"}).encode())

    async def _said(self, answer, stream):
        await self.gate.wait()
        if self.reply is not None:
            headers, pieces = self.reply
        elif stream:
            headers, pieces = EVENTS, [*map(event, self.text), *([DONE] if self.done else [])]
        else:
            usage = {"prompt_tokens": self.count(self.chats[-1])} if self.count else {}
            headers, pieces = JSON, [whole(self.text, usage=usage)]
        answer.head(self.status, list(headers), self)
        for piece in pieces:
            if piece is pieces[-1] and self.breaks:
                raise UpstreamUnreachable("it died")
            answer.body(piece)
            await asyncio.sleep(0)
            if piece is DONE:
                await self.end.wait()

    def pause(self):
        pass

    def resume(self):
        pass


def event(text):
    return (
        b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()
        + b"\n\n"
    )


def whole(text, usage=None, **more):
    choices = [{"index": 0, "message": {"role": "assistant", "content": text} | more}]
    return json.dumps({"choices": choices, "usage": usage or {}}).encode()


def response(number, text):
    content = [{"type": "output_text", "text": text}]
    output = [{"type": "message", "role": "assistant", "content": content}]
    return {"id": f"resp_{number}", "object": "response", "status": "completed", "output": output}


class Heard:
    """A client that is there and quick."""

    paused = False

    def __init__(self):
        self.messages = []
        self.was_cut = False

    def finished(self):
        pass

    def cut(self):
        self.was_cut = True

    async def send(self, message):
        self.messages.append(message)

    @property
    def status(self):
        return self.messages[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self):
        assert int(self.headers["content-length"]) == len(self.body)
        return json.loads(self.body)

    @property
    def over(self):
        return bool(self.messages) and not self.messages[-1].get("more_body", True)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def request(*messages, session="s", headers=(), **more):
    """A call that asks for the next turn."""
    body = (
        {"model": "a", "messages": list(messages)}
        | ({"session_id": session} if session else {})
        | more
    )
    raw = json.dumps(body).encode()
    fields = [*JSON, (b"accept-encoding", b"gzip"), *headers]
    return call(raw, fields, CHAT)


def call(raw, fields, endpoint):
    exchange = Exchange("POST", endpoint.path, endpoint, "r-1", "", "", fields, raw)
    return Call(b"POST", b"", fields, raw, exchange, lambda error: b"data: {}\n\n")


async def say(house, *messages, client=None, **more):
    """Have a turn; what the client heard."""
    return await asks(house, request(*messages, **more), client or Heard())


async def respond(house, text, previous=None, headers=(), **more):
    """Have a turn by way of `/v1/responses`."""
    body = {"model": "a", "input": text} | ({"previous_response_id": previous} if previous else {})
    raw = json.dumps(body | more).encode()
    return await asks(house, call(raw, [*JSON, *headers], RESPONSES), Heard())


async def asks(house, one, heard):
    """A call, entered in the books as by the server, to its end."""
    ledger = house.gateway.ledger
    ledger.open(one.exchange)
    try:
        await house.gateway.inference.serve(one, one.exchange.endpoint, heard.send, heard)
    finally:
        ledger.close(one.exchange)
    return heard


def asked(session):
    """What the gateway reads of a body that names this session."""
    return Asked("a", session=json.dumps(session).encode())

"""The official clients raise something a person can use, fed by a real server on loopback."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import openai
import pytest

from corral.dialects.anthropic import ANTHROPIC
from corral.dialects.openai import OPENAI, RESPONSES
from corral.errors import LoadFailed, ModelNotFound, QueueFull, UpstreamUnreachable
from corral.server.responses import render, render_event
from corral.wire.sse import encode

CHUNK = (
    '{"id":"1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}'
)
START = (
    '{"type":"message_start","message":{"id":"1","type":"message","role":"assistant","model":"m",'
    '"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}'
)
TEXT = (
    '{"type":"response.output_text.delta","item_id":"1","output_index":0,"content_index":0,'
    '"delta":"hi","sequence_number":1,"logprobs":[]}'
)
FAILED = LoadFailed(
    "m did not start: exit code 1", exit_code=1, log_tail=["loading", "no such file"], retry_after=5
)
DIED = UpstreamUnreachable("m died while it answered")


@contextmanager
def serving(status, headers, body):
    """A server that answers every POST like this; its address. A body without a length ends with the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name.decode(), value.decode())
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Nothing to say."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def failing(error, dialect):
    answer = render(error, dialect, request_id="req-1")
    return serving(answer.status, answer.headers, answer.body)


def breaking(dialect, *events):
    """A stream that goes well for some events and then does not."""
    body = b"".join(events) + render_event(DIED, dialect, request_id="req-1")
    return serving(200, [(b"content-type", b"text/event-stream")], body)


@contextmanager
def openai_client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        yield client


@contextmanager
def anthropic_client(url):
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        yield client


def chat(client, **kwargs):
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], **kwargs
    )


def respond(client, **kwargs):
    return client.responses.create(model="m", input="hi", **kwargs)


def message(client, **kwargs):
    return client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}], **kwargs
    )


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ModelNotFound("no model `m`; try `n`"), openai.NotFoundError),
        (QueueFull("full", retry_after=3), openai.RateLimitError),
        (FAILED, openai.InternalServerError),
    ],
)
def test_openai_raises_the_right_class_with_our_words(error, raised):
    with (
        failing(error, OPENAI) as url,
        openai_client(url) as client,
        pytest.raises(raised, match=error.message) as caught,
    ):
        chat(client)
    assert caught.value.code == error.code
    assert caught.value.request_id == "req-1"


def test_openai_shows_why_a_load_failed():
    with (
        failing(FAILED, OPENAI) as url,
        openai_client(url) as client,
        pytest.raises(openai.InternalServerError, match="no such file") as caught,
    ):
        chat(client)
    assert caught.value.body["exit_code"] == 1
    assert caught.value.body["log"] == ["loading", "no such file"]
    assert caught.value.response.headers["retry-after"] == "5"


def test_openai_raises_on_a_broken_chat_stream():
    got = []
    with (
        breaking(OPENAI, encode(CHUNK)) as url,
        openai_client(url) as client,
        pytest.raises(openai.APIError, match="died while it answered") as caught,
    ):
        got.extend(chunk.choices[0].delta.content for chunk in chat(client, stream=True))
    assert got == ["hi"]
    assert caught.value.code == "upstream_unreachable"


def test_openai_raises_on_a_broken_responses_stream():
    got = []
    with (
        breaking(RESPONSES, encode(TEXT, event="response.output_text.delta")) as url,
        openai_client(url) as client,
        pytest.raises(openai.APIError, match="died while it answered"),
    ):
        got.extend(event.delta for event in respond(client, stream=True))
    assert got == ["hi"]


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (ModelNotFound("no model `m`"), anthropic.NotFoundError, "not_found_error"),
        (QueueFull("full", retry_after=3), anthropic.RateLimitError, "rate_limit_error"),
        (FAILED, anthropic.InternalServerError, "api_error"),
    ],
)
def test_anthropic_raises_the_right_class_with_our_words(error, raised, kind):
    with (
        failing(error, ANTHROPIC) as url,
        anthropic_client(url) as client,
        pytest.raises(raised, match=error.message) as caught,
    ):
        message(client)
    inner = caught.value.body["error"]
    assert (inner["type"], inner["code"]) == (kind, error.code)
    assert caught.value.body["request_id"] == "req-1"


def test_anthropic_shows_why_a_load_failed():
    with (
        failing(FAILED, ANTHROPIC) as url,
        anthropic_client(url) as client,
        pytest.raises(anthropic.InternalServerError, match="no such file") as caught,
    ):
        message(client)
    assert caught.value.body["error"]["exit_code"] == 1


def test_anthropic_raises_on_a_broken_stream():
    got = []
    with (
        breaking(ANTHROPIC, encode(START, event="message_start")) as url,
        anthropic_client(url) as client,
        pytest.raises(anthropic.APIStatusError, match="died while it answered") as caught,
    ):
        got.extend(event.type for event in message(client, stream=True))
    assert got == ["message_start"]
    assert caught.value.body["error"]["code"] == "upstream_unreachable"

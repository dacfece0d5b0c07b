"""How a waiting client is told, dialect by dialect."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects import endpoints
from corral.dialects.loading import Wait, comment, ping, reasoning
from corral.wire.sse import Event, Parser

WAIT = Wait("chatcmpl-7", "qwen", 1_700_000_000)
TEXTS = st.text() | st.sampled_from(["\nqueue position: #2\n", ".", "", 'say "x"\r\ndata: y\n\n'])


def read(piece):
    return Parser().feed(piece)


@given(TEXTS)
def test_chat_gets_a_complete_chunk(text):
    (event,) = read(reasoning(text, WAIT))
    assert json.loads(event.data) == {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "qwen",
        "choices": [{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}],
    }


@given(TEXTS)
def test_a_comment_is_no_event_whatever_its_text(text):
    assert read(comment(text, WAIT) + b"data: x\n\n") == [Event("x")]


@given(TEXTS)
def test_anthropic_gets_a_ping_whatever_the_text(text):
    assert read(ping(text, WAIT)) == [Event('{"type":"ping"}', "ping")]


def test_a_comment_shows_the_text_to_those_who_look():
    assert comment("\nloading model qwen\n", WAIT) == b": loading model qwen\n\n"


@pytest.mark.parametrize(
    ("path", "tell"),
    [
        ("/v1/chat/completions", reasoning),
        ("/v/chat/completions", reasoning),
        ("/v1/completions", comment),
        ("/v1/responses", comment),
        ("/v1/messages", ping),
        ("/completion", None),
        ("/v1/audio/speech", None),
    ],
)
def test_who_is_told_how(path, tell):
    assert endpoints.find("POST", path).waiting is tell


def test_only_streams_tell():
    assert all(row.streams for row in endpoints.ENDPOINTS if row.waiting)

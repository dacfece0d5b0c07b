"""What the shipped engine says of its tokens is what corral reads."""

import pytest

from corral.dialects.usage import UsageTap

ALONE = {"connection": "close"}
"""After a stream the engine closes the connection, which a client may learn too late."""
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "hi", "max_tokens": 4}),
        ("/v1/messages", CHAT),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 4}),
        ("/completion", {"prompt": "hi", "n_predict": 4}),
    ],
)
def test_tokens_are_told(serving, path, body, stream):
    with serving.stream("POST", path, json=body | {"stream": stream}, headers=ALONE) as answer:
        tap = UsageTap(answer.headers["content-type"])
        for piece in answer.iter_raw():
            tap.feed(piece)
    usage = tap.usage()
    assert usage.input_tokens >= 1
    assert 1 <= usage.output_tokens <= 4
    assert usage.cache_tokens >= 0


def test_an_error_is_told(serving):
    answer = serving.post("/v1/chat/completions", json={"messages": 3}, headers=ALONE)
    tap = UsageTap(answer.headers["content-type"])
    tap.feed(answer.content)
    assert "messages" in tap.error()

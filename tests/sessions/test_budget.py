"""How large messages are, and how much of a prompt there may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.sessions.blobs import detach
from corral.sessions.budget import MEDIUM, TEMPLATE, Limits, estimate, limits, media, size, thoughts

CALL = {"id": "1234", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
URL = f"data:image/png;base64,{'AAAA' * 100_000}"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "x" * 1000}


@pytest.mark.parametrize(
    ("message", "characters"),
    [
        ({"role": "user", "content": "häll"}, 8),
        ({"role": "user", "content": "木" * 5}, 9),
        ({"role": "user", "content": None}, 4),
        ({"role": "user"}, 4),
        ({}, 0),
        ({"role": "user", "content": ["a", {"type": "text", "text": "bc"}]}, 7),
        ({"role": "user", "content": [IMAGE, {"type": "text", "text": "?"}]}, 5 + MEDIUM),
        ({"role": "user", "content": [detach({"c": [IMAGE]})[0]["c"][0]]}, 4 + MEDIUM),
        ({"role": "user", "content": [{"type": "other", "more": [["abc"], 7]}]}, 4 + 5 + 3),
        ({"role": "assistant", "content": [THOUGHT, "ab"], "reasoning_content": "hm"}, 11),
        ({"role": "assistant", "tool_calls": [CALL]}, 9 + 4 + 8 + 4 + 7),
        ({"role": "assistant", "tool_calls": "nonsense"}, 9),
        ({"role": 7, "content": 7}, 1),
    ],
)
def test_a_messages_size(message, characters):
    assert size(message) == characters


def test_media_and_thoughts_are_seen():
    assert media({"content": [IMAGE, "a", {"type": "input_audio"}]}) == 2
    assert media({"content": "text"}) == media({}) == 0
    assert thoughts({"content": [THOUGHT]})
    assert not thoughts({"content": [IMAGE]})
    assert not thoughts({"content": "text"})


@pytest.mark.parametrize(
    ("characters", "per_token", "tokens"),
    [(0, 4, 1), (1, 4, 1), (4, 4, 1), (5, 4, 2), (9, 0.5, 18)],
)
def test_an_estimate_is_one_token_at_least(characters, per_token, tokens):
    assert estimate(characters, per_token) == tokens + TEMPLATE


@pytest.mark.parametrize(
    ("tokens", "context", "reply", "expected"),
    [
        (None, None, None, (None, None)),
        (None, None, 500, (None, None)),
        (6000, None, 500, (6000, 6000)),
        (None, 8192, None, (8192 - 1024, 8191)),
        (None, 2048, None, (2048 - 512, 2047)),
        (None, 8192, 500, (8192 - 500, 8191)),
        (None, 8192, 100_000, (4096, 8191)),
        (None, 8192, 0, (8192 - 1024, 8191)),
        (6000, 8192, None, (6000, 6000)),
        (8000, 8192, None, (8192 - 1024, 8000)),
        (9000, 8192, None, (8192 - 1024, 8191)),
    ],
)
def test_tokens_are_limited_by_the_configuration_and_by_the_context(
    tokens, context, reply, expected
):
    found = limits(10, 20, tokens, context=context, reply=reply)
    assert found == Limits(10, 20, *expected)


@given(st.none() | st.integers(1, 10**6), st.integers(2, 10**6), st.none() | st.integers(0, 10**6))
def test_a_prompt_leaves_room_for_a_reply_and_is_never_more_than_the_context(
    tokens, context, reply
):
    found = limits(tokens=tokens, context=context, reply=reply)
    assert 1 <= found.tokens <= found.ceiling < context
    assert tokens is None or found.ceiling <= tokens
    assert context - found.tokens >= min(reply or 1024, context // 4)

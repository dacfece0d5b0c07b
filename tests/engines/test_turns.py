"""Conversations that began on any API are taken by the real llama.cpp on each, and what it answers can be sent again."""

from __future__ import annotations

import json

import pytest

from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES
from corral.sessions.identity import digest

PATHS = {CHAT: "/v1/chat/completions", ANTHROPIC: "/v1/messages", RESPONSES: "/v1/responses"}
LENGTH = {CHAT: "max_tokens", ANTHROPIC: "max_tokens", RESPONSES: "max_output_tokens"}
ALONE = {"connection": "close"}
"""After a stream the engine closes the connection, which a client may learn too late."""
TEXT = {"type": "text", "text": "let me see"}
BEGUN = {
    CHAT: {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "sunny"},
            {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "rainy"}]},
            {"role": "assistant", "content": "", "refusal": "no"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": ""},
            {"role": "system", "content": "be loud"},
            {"role": "user", "content": "and?"},
        ]
    },
    ANTHROPIC: {
        "system": [TEXT | {"cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    TEXT,
                    {"type": "server_tool_use", "id": "w", "name": "web_search", "input": {}},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "is_error": True},
                    {"type": "document", "source": {"type": "text", "data": "plain"}},
                    TEXT,
                ],
            },
        ],
    },
    RESPONSES: {
        "instructions": "be kind",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
            {"role": "user", "content": "hi"},
            {
                "type": "reasoning",
                "id": "r",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "hm"}],
                "encrypted_content": "",
                "status": "completed",
            },
            {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "let me see", "annotations": []}],
            },
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
            {"role": "user", "content": "and?"},
        ],
    },
}


def read(shape, body):
    return shape.read(json.dumps(body).encode())


def written(shape, system, messages, **more):
    body = {LENGTH[shape]: 3, "session_id": "s", **more}
    return shape.changes(system, messages).apply(json.dumps(body).encode())


def posted(serving, path, body):
    kind = {"content-type": "application/json"}
    return serving.post(path, content=body, headers=ALONE | kind)


@pytest.mark.parametrize("to", PATHS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("begun", BEGUN, ids=lambda shape: shape.name)
def test_a_conversation_goes_on_with_another_api(serving, begun, to):
    asked = read(begun, BEGUN[begun])
    answer = posted(serving, PATHS[to], written(to, asked.system, asked.messages))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("shape", PATHS, ids=lambda shape: shape.name)
def test_tokens_are_counted_where_the_shape_says(serving, shape):
    asked = read(shape, BEGUN[shape])
    body = written(shape, asked.system, asked.messages)
    count = posted(serving, shape.count, body).json()["input_tokens"]
    answer = posted(serving, PATHS[shape], body)
    collector = shape.collector(answer.headers["content-type"], "")
    collector.feed(answer.content)
    assert count == collector.said().usage.prompt_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("to", PATHS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("shape", PATHS, ids=lambda shape: shape.name)
def test_an_answer_is_sent_again(serving, shape, to, stream):
    hi = {"role": "user", "content": "hi"}
    body = written(shape, [], [hi], stream=stream)
    answer = posted(serving, PATHS[shape], body)
    collector = shape.collector(answer.headers["content-type"], "")
    for piece in answer.iter_bytes(50):
        collector.feed(piece)
    said = collector.said()
    assert said.complete
    again = posted(serving, PATHS[to], written(to, [], [hi, said.message, hi]))
    assert again.status_code == 200, again.text


RESENT = {
    CHAT: lambda told: {"messages": [told["choices"][0]["message"]]},
    ANTHROPIC: lambda told: {"messages": [{"role": told["role"], "content": told["content"]}]},
    RESPONSES: lambda told: {"input": told["output"]},
}
"""What a client makes of a plain answer when it sends its history again."""


@pytest.mark.parametrize("shape", PATHS, ids=lambda shape: shape.name)
def test_an_answer_that_a_client_sends_again_is_known(serving, shape):
    answer = posted(serving, PATHS[shape], written(shape, [], [{"role": "user", "content": "hi"}]))
    collector = shape.collector(answer.headers["content-type"], "")
    collector.feed(answer.content)
    (again,) = read(shape, RESENT[shape](answer.json())).messages
    assert digest(again) == digest(collector.said().message)

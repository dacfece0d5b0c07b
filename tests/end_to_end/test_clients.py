"""The official `openai` and `anthropic` packages, streamed and not, against the real engine."""

from __future__ import annotations

import openai
import pytest

PAIR = """
models:
  small: {cmd: "llama-server -m models/small.gguf --port ${PORT} -c 2048", aliases: [gpt-4o]}
  vectors: {cmd: "llama-server -m models/embed.gguf --port ${PORT} --embedding -c 512"}
groups:
  side: {swap: false, members: [small, vectors]}
"""
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def house(corral):
    return corral(PAIR)


def test_openai_chat(house):
    answer = house.openai().chat.completions.create(
        model="small", messages=HELLO, max_tokens=5, temperature=0
    )
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].message.role == "assistant"


def test_openai_chat_streamed(house):
    stream = house.openai().chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        max_tokens=5,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[-1].usage.completion_tokens == 5
    assert sum(1 for c in chunks if c.choices and c.choices[0].delta.content) >= 1


def test_openai_responses_streamed(house):
    with house.openai().responses.create(
        model="small", input="hello", max_output_tokens=5, stream=True
    ) as events:
        kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")


def test_openai_embeddings_and_list(house):
    client = house.openai()
    vector = client.embeddings.create(model="vectors", input=["a", "b"], encoding_format="float")
    assert [len(one.embedding) for one in vector.data] == [64, 64]
    assert [one.id for one in client.models.list()] == ["small", "vectors"]
    assert client.models.retrieve("vectors").status["value"] == "loaded"


def test_openai_unknown_model_names_the_nearest(house):
    with pytest.raises(openai.NotFoundError) as caught:
        house.openai().chat.completions.create(model="smal", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "small" in caught.value.message


def test_anthropic_messages(house):
    answer = house.anthropic().messages.create(
        model="small", max_tokens=5, extra_body={"temperature": 0}, messages=HELLO
    )
    assert answer.usage.output_tokens == 5
    assert answer.content[0].type == "text"


def test_anthropic_messages_streamed(house):
    with house.anthropic().messages.stream(
        model="small", max_tokens=5, extra_body={"temperature": 0}, messages=HELLO
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.usage.output_tokens == 5
    assert text == final.content[0].text


def test_anthropic_counts_tokens(house):
    counted = house.anthropic().messages.count_tokens(model="small", messages=HELLO)
    assert counted.input_tokens > 5


def test_engine_routes_beside_the_dialects(house):
    tokens = house.http.post("/tokenize", json={"model": "small", "content": "abc"}).json()[
        "tokens"
    ]
    assert (
        house.http.post("/detokenize", json={"model": "small", "tokens": tokens})
        .json()["content"]
        .endswith("abc")
    )
    assert house.http.get("/props", params={"model": "small"}).json()["total_slots"] >= 1
    assert house.http.get("/upstream/small/health").json() == {"status": "ok"}
    assert (
        house.http.post(
            "/upstream/small/v1/chat/completions", json={"messages": HELLO, "max_tokens": 2}
        ).status_code
        == 200
    )
    assert (
        house.http.post(
            "/v/chat/completions", json={"model": "small", "messages": HELLO, "max_tokens": 2}
        ).status_code
        == 200
    )

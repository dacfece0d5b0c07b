"""`sendLoadingState`, as the official packages see it: they are told while the model loads, and get their answer, or the error."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anthropic
import openai
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
# However fast the machine, it loads for longer than an answer's head is held back for.
SMALL = f"sh -c 'sleep 0.5; exec {sys.executable} -m corral.engines.llama -m models/small.gguf --port ${{PORT}} -c 512'"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
HOUSE = f"""
sendLoadingState: true
models:
  small: {{cmd: "{SMALL}"}}
  sick: {{cmd: "{PYTHON} --do sick", startTimeout: 1}}
  slow: {{cmd: "{PYTHON} --do slow --gate gate"}}
  slower: {{cmd: "{PYTHON} --do slow --gate gate"}}
"""
HELLO = [{"role": "user", "content": "hello"}]
CHAT = {"messages": HELLO, "stream": True}


@pytest.fixture
def house(corral):
    return corral(HOUSE)


def told(chunks):
    deltas = (chunk.choices[0].delta for chunk in chunks if chunk.choices)
    return "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)


def read_until(lines, text):
    """The lines up to, and with, one that has `text`."""
    seen = []
    for line in lines:
        seen.append(line)
        if text in line:
            return seen
    raise AssertionError(f"never said {text!r}: {seen}")


# --- the answer ---


def test_openai_chat(house):
    client = house.openai()
    ask = {"model": "small", "messages": HELLO, "max_tokens": 5, "temperature": 0}
    more = {"stream": True, "stream_options": {"include_usage": True}}
    stream = client.chat.completions.create(**ask, **more)
    assert stream.response.headers["x-corral-model"] == "small"
    assert stream.response.headers["x-request-id"]
    chunks = list(stream)
    assert re.fullmatch(r"━+\nloading model small\n[^━]*\nDone! \(\d+\.\d\ds\)\n━+\n", told(chunks))
    assert chunks[-1].usage.completion_tokens == 5
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert told(client.chat.completions.create(**ask, **more)) == ""  # it is ready now


def test_openais_helper_adds_the_answer_up(house):
    with house.openai().chat.completions.stream(
        model="small", messages=HELLO, max_tokens=5, temperature=0
    ) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        message = stream.current_completion_snapshot.choices[0].message
    assert message.role == "assistant"
    assert message.content == text != ""
    assert "loading model small" in message.reasoning_content


def test_openai_completions(house):
    stream = house.openai().completions.create(
        model="small", prompt="hello", max_tokens=5, temperature=0, stream=True
    )
    chunks = list(stream)
    assert "x-corral-load-ms" not in stream.response.headers  # the head was there before the load
    assert "".join(chunk.choices[0].text for chunk in chunks)
    assert "loading" not in "".join(chunk.choices[0].text for chunk in chunks)


def test_openai_responses(house):
    with house.openai().responses.create(
        model="small", input="hello", max_output_tokens=5, stream=True
    ) as events:
        assert "x-corral-load-ms" not in events.response.headers
        kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")


def test_anthropic(house):
    with house.anthropic().messages.stream(
        model="small", max_tokens=5, extra_body={"temperature": 0}, messages=HELLO
    ) as stream:
        assert "x-corral-load-ms" not in stream.response.headers
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.usage.output_tokens == 5
    assert text == final.content[0].text
    assert "loading" not in text


# --- the error ---


def test_openai_raises_when_the_load_fails(house):
    chunks = []
    stream = house.openai().chat.completions.create(model="sick", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="/health") as caught:
        chunks.extend(stream)
    assert caught.value.code == "model_load_timeout"
    assert "loading model sick" in told(chunks)
    assert "Done!" not in told(chunks)


def test_openai_raises_in_completions(house):
    client = house.openai()
    stream = client.completions.create(model="sick", prompt="hello", stream=True)
    with pytest.raises(openai.APIError, match="/health"):
        list(stream)


def test_openai_raises_in_responses(house):
    stream = house.openai().responses.create(model="sick", input="hello", stream=True)
    with pytest.raises(openai.APIError, match="/health"):
        list(stream)


def test_anthropic_raises_when_the_load_fails(house):
    stream = house.anthropic().messages.create(
        model="sick", max_tokens=5, messages=HELLO, stream=True
    )
    with pytest.raises(anthropic.APIError, match="/health"):
        list(stream)


def test_openai_raises_what_the_engine_says(house):
    long = [{"role": "user", "content": "x" * 5000}]
    stream = house.openai().chat.completions.create(model="small", messages=long, stream=True)
    with pytest.raises(openai.APIError, match="exceeds the available context size") as caught:
        list(stream)
    assert caught.value.code == "upstream_refused"


def test_what_is_refused_at_once_has_its_status(house):
    client = house.openai()
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="", messages=HELLO, stream=True)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=HELLO, stream=True)


# --- those who wait ---


def test_two_who_wait_are_told_their_places_and_leave_without_a_trace(house):
    def ask(model):
        return house.http.stream("POST", "/v1/chat/completions", json={"model": model} | CHAT)

    with ask("slow") as first:
        ahead = first.iter_lines()  # kept: an iterator that is dropped closes its connection
        read_until(ahead, "loading model slow")
        with ask("slower") as second:
            behind = second.iter_lines()
            read_until(behind, "queue position: #2")
            house.until(lambda: house.state("slower")["waiting"] == 1)
        house.until(lambda: house.state("slower")["waiting"] == 0)
    house.until(lambda: house.state("slow")["waiting"] == 0)
    assert "Traceback" not in house.output
    assert house.stop() == 0

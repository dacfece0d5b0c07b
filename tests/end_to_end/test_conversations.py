"""Conversations with the real engine and the official clients: another model, a crash, a kill, and the conversation goes on."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import signal
import sys
from pathlib import Path

import httpx
import openai
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
SCRIPTED = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
PAIR = """
models:
  small: {cmd: "llama-server -m models/small.gguf --port ${PORT} -c 4096 -np 1"}
  big: {cmd: "llama-server -m models/big.gguf --port ${PORT} -c 4096 -np 1"}
sessions: {}
"""
ID = "x-corral-session"


def scripted(*names: str, more: str = "") -> str:
    """Models by their way: `echo`, `half`, ..."""
    rows = (
        f'  {name}: {{cmd: "{SCRIPTED} --do {name}", proxy: "http://127.0.0.1:${{PORT}}"}}\n'
        for name in names
    )
    return "models:\n" + "".join(rows) + more


def turn(house, text: object, model: str = "small", session: str = "s", **more: object) -> dict:
    """One turn that sends only its own message; the answer."""
    message = text if isinstance(text, dict) else {"role": "user", "content": text}
    body = {
        "model": model,
        "session_id": session,
        "messages": [message],
        "max_tokens": 4,
        "temperature": 0,
    }
    answer = house.http.post("/v1/chat/completions", json=body | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers[ID] == session
    return answer.json()


def messages(house, session: str = "s") -> list[dict]:
    return house.http.get(f"/api/sessions/{session}").json()["messages"]


def texts(house, session: str = "s") -> list[str]:
    return [message["content"] for message in messages(house, session)]


def heard(house, model: str = "echo") -> list[dict]:
    """What the scripted engine was asked."""
    lines = house.http.get(f"/logs/{model}").text.splitlines()
    return [json.loads(line.removeprefix("said ")) for line in lines if line.startswith("said ")]


def streamed(house, text: str, model: str, session: str = "s") -> str:
    """A streamed turn, to its end."""
    stream = house.openai().chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": text}],
        stream=True,
        max_tokens=4,
        extra_body={"session_id": session},
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


# --- it goes on ---


def test_a_conversation_goes_on_with_another_model(corral):
    house = corral(PAIR)
    client = house.openai()
    told = []
    for model, text in (("small", "My name is Ann."), ("big", "What is it?"), ("small", "Sure?")):
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            max_tokens=4,
            temperature=0,
            extra_headers={"X-Corral-Session": "s"},
        )
        told += [text, answer.choices[0].message.content]
    assert texts(house) == told
    history = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(told[:-1])
    ]
    plain = client.chat.completions.create(model="small", messages=history, max_tokens=4)
    assert plain.usage.prompt_tokens == answer.usage.prompt_tokens


def test_a_stream_in_the_middle_of_it(corral):
    house = corral(PAIR)
    turn(house, "one")
    said = streamed(house, "two", "big")
    last = turn(house, "three")
    assert texts(house)[:5:2] == ["one", "two", "three"]
    assert texts(house)[3] == said
    assert last["corral"]["prompt_messages"] == 5


def test_a_client_that_sends_its_whole_history_each_time(corral):
    house = corral(PAIR)
    client, history = house.openai(), []
    for text in ("one", "two", "three"):
        history.append({"role": "user", "content": text})
        answer = client.chat.completions.create(
            model="small", messages=history, max_tokens=4, extra_body={"session_id": "s"}
        )
        history.append(answer.choices[0].message.model_dump(exclude_none=True))
    assert texts(house) == [message["content"] for message in history]


def test_anthropics_client_goes_on_where_openais_was(corral):
    house = corral(PAIR)
    turn(house, "one")
    with house.anthropic().messages.stream(
        model="big",
        max_tokens=4,
        messages=[{"role": "user", "content": "two"}],
        extra_headers={"X-Corral-Session": "s"},
    ) as stream:
        said = "".join(stream.text_stream)
    assert texts(house)[2:] == ["two", said]
    answer = house.anthropic().messages.create(
        model="small",
        max_tokens=4,
        messages=[{"role": "user", "content": "three"}],
        extra_headers={"X-Corral-Session": "s"},
    )
    told = "".join(block.text for block in answer.content)  # a tiny model may say nothing
    assert texts(house)[4:] == ["three", told]


def test_responses_go_on_from_any_answer(corral):
    house = corral(PAIR)
    client = house.openai()

    def ask(text: str, previous: str | None = None, **more: object):
        return client.responses.create(
            model="small", input=text, max_output_tokens=4, previous_response_id=previous, **more
        )

    first = ask("one")
    second = ask("two", first.id)
    events = client.responses.create(
        model="big", input="three", max_output_tokens=4, previous_response_id=second.id, stream=True
    )
    third = next(event.response for event in events if event.type == "response.completed")
    assert next(events, None) is None
    other = client.responses.with_raw_response.create(
        model="small", input="other", max_output_tokens=4, previous_response_id=first.id
    )
    answer, branch = other.parse(), other.headers[ID]
    assert texts(house, branch) == ["one", first.output_text, "other", answer.output_text]
    (kept,) = {one["session_id"] for one in house.http.get("/api/sessions").json()["sessions"]} - {
        branch
    }
    assert texts(house, kept)[::2] == ["one", "two", "three"]
    assert texts(house, kept)[-1] == third.output_text
    with pytest.raises(openai.NotFoundError, match="there is no answer resp_none"):
        ask("four", "resp_none")
    ask("not kept", store=False)
    assert house.http.get("/api/sessions").json()["total"] == 2


def test_two_turns_at_once(corral):
    house = corral(PAIR)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: turn(house, f"turn {i}"), range(4)))
    roles = [message["role"] for message in messages(house)]
    assert roles == ["user", "assistant"] * 4
    assert {text for text in texts(house) if text.startswith("turn")} == {
        f"turn {i}" for i in range(4)
    }


# --- what is kept ---


def test_tools_pictures_and_strange_texts(corral):
    house = corral(scripted("echo"))
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode()
    parts = [
        {"type": "text", "text": "¿qué? 🐎 \u0000"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    asked = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ]
    answer = house.http.post(
        "/v1/chat/completions", json={"model": "echo", "session_id": "s", "messages": asked}
    )
    assert answer.status_code == 200
    turn(house, "", model="echo")
    expected = [*asked, {"role": "assistant", "content": "hi"}, {"role": "user", "content": ""}]
    assert heard(house)[-1]["messages"] == expected


def test_of_two_answers_the_first_is_kept(corral):
    house = corral(PAIR.replace("-np 1", "-np 2"))
    answer = turn(house, "one", n=2, temperature=1)
    assert answer["corral"]["kept_choice"] == {"index": 0, "of": 2}
    assert texts(house)[1] == answer["choices"][0]["message"]["content"]


def test_a_malformed_message_is_named(corral):
    house = corral(PAIR)
    body = {"model": "small", "session_id": "s", "messages": [{"role": "user", "content": "x"}, 5]}
    answer = house.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert "messages[1]" in answer.json()["error"]["message"]
    assert house.http.get("/api/sessions/s").status_code == 404


def test_history_follows_the_context_of_the_model(corral):
    house = corral(PAIR.replace("-c 4096", "-c 1024"))
    for i in range(8):
        answer = turn(house, f"{i} " + "x" * 150)
    assert answer["corral"]["prompt_budget"]["dropped_messages"] > 0
    assert answer["usage"]["prompt_tokens"] <= 1024 - 4
    assert len(messages(house)) == 16
    body = {
        "model": "small",
        "session_id": "s",
        "messages": [{"role": "user", "content": "y" * 2000}],
    }
    long = house.http.post("/v1/chat/completions", json=body)
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "1024 tokens" in long.json()["error"]["message"]


def test_a_hotmodel_client(corral):
    house = corral(scripted("echo", more="sessions: {mode: always, systemPrompt: be brief}\n"))
    body = {"model": "echo", "messages": [{"role": "user", "content": "one"}]}
    first = house.http.post("/v1/chat/completions", json=body)
    session = first.json()["corral"]["session_id"]
    again = {"X-Hotmodel-Session": session}
    house.http.post("/v1/chat/completions", json=body, headers=again)
    assert [one["content"] for one in heard(house)[-1]["messages"]] == [
        "be brief",
        "one",
        "hi",
        "one",
    ]


# --- what goes wrong ---


def test_an_engine_that_dies_in_the_middle(corral):
    house = corral(scripted("half", "echo"))
    with pytest.raises((httpx.RemoteProtocolError, openai.APIError)):
        streamed(house, "one", "half")
    house.until(lambda: house.http.get("/api/sessions/s").status_code == 200)
    assert [(one["content"], one["corral"].get("partial", False)) for one in messages(house)] == [
        ("one", False),
        ("xx", True),
    ]
    turn(house, "two", model="echo")
    assert [one["content"] for one in heard(house)[-1]["messages"]] == ["one", "xx", "two"]


def test_a_client_that_leaves_in_the_middle(corral):
    house = corral(scripted("trickle"))
    body = {
        "model": "trickle",
        "session_id": "s",
        "stream": True,
        "messages": [{"role": "user", "content": "one"}],
    }
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        assert stream.headers[ID] == "s"
        assert b"choices" in next(stream.iter_bytes())
    house.until(lambda: house.http.get("/api/sessions/s").status_code == 200)
    asked, answer = messages(house)
    assert (asked["content"], set(answer["content"])) == ("one", {"x"})


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("phase", ["before the answer", "in its middle", "after it"])
def test_killed_and_started_again(corral, tmp_path, phase):
    gate = tmp_path / "gate"
    text = scripted("echo", "trickle") + (
        f'  late: {{cmd: "{SCRIPTED} --do slow --gate {gate}", proxy: "http://127.0.0.1:${{PORT}}"}}\n'
    )
    house = corral(text)
    turn(house, "one", model="echo")
    if phase == "before the answer":
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            lost = pool.submit(house.chat, "late", session_id="s")
            house.until(lambda: house.state("late")["state"] == "loading")
            house.stop(signal.SIGKILL)
            with pytest.raises(httpx.HTTPError):
                lost.result()
    elif phase == "in its middle":
        body = {"model": "trickle", "session_id": "s", "stream": True, "messages": []}
        body["messages"] = [{"role": "user", "content": "answered"}]
        with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
            pieces = stream.iter_bytes()
            assert b"choices" in next(pieces)
            house.until(lambda: len(texts(house)) == 3)
            house.process.kill()
        house.stop(signal.SIGKILL)
    else:
        streamed(house, "two", "echo")
        house.stop(signal.SIGKILL)
    more = {"before the answer": [], "in its middle": ["answered"], "after it": ["two", "x"]}
    kept = ["one", "hi", *more[phase]]
    again = corral(text)
    assert texts(again) == kept
    turn(again, "three", model="echo")
    asked = [*kept[:-1], "answered\n\nthree"] if phase == "in its middle" else [*kept, "three"]
    assert [one["content"] for one in heard(again)[-1]["messages"]] == asked

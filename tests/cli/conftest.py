"""The two partners of these plays: the command line as a real process, and a corral that answers from a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """Ours, without what configures the command line, and with what is named."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CORRAL_")}
    return lambda **more: {**kept, "COLUMNS": "100", **more}


@pytest.fixture
def corral(environment: Callable[..., dict[str, str]]) -> Run:
    """`corral("ps", "--json")`: run the command line; `module`, `cwd` and environment variables by name."""

    def run(*arguments: str, module: str = "corral", cwd: Any = None, **env: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=environment(**env),
        )  # fmt: skip

    return run


class Terminal:
    """A pseudo-terminal for stderr, and what is drawn on it."""

    def __init__(self, environment: Callable[..., dict[str, str]]) -> None:
        self._screen, self._ours = os.openpty()
        self._environment = environment(TERM="xterm")
        self._shown = bytearray()

    def until(self, *texts: bytes) -> None:
        """Look at it until all of these have been drawn."""
        while not all(text in self._shown for text in texts):
            self._shown.extend(os.read(self._screen, 4096))

    def run(self, *arguments: str) -> str:
        """What the command line writes to stdout; it must not fail."""
        command = [sys.executable, "-m", "corral", *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._ours, text=True, env=self._environment
        ) as running:
            os.close(self._ours)
            stdout, _ = running.communicate(timeout=60)
        os.close(self._screen)
        assert running.returncode == 0
        return stdout


@pytest.fixture
def terminal(environment: Callable[..., dict[str, str]]) -> Terminal:
    if sys.platform == "win32":
        pytest.skip("needs a pseudo-terminal")
    return Terminal(environment)


@dataclass
class Reply:
    """What the script answers. `body` that is no text goes as JSON; `after` is waited for first."""

    body: Any = ""
    status: int = 200
    after: Callable[[], object] = lambda: None

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Scripted:
    """A server at `url` that answers `"GET /path?query"` from `replies` and remembers what it was asked."""

    url: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def on(self, request: str, body: Any = "", status: int = 200, **more: Any) -> None:
        self.replies[request] = Reply(body, status, **more)

    def refuse(self, request: str, message: str, code: str, status: int) -> None:
        self.on(
            request,
            {"error": {"message": message, "type": "t", "param": None, "code": code}},
            status,
        )


def handler(script: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            request = f"{self.command} {self.path}"
            script.asked.append(request)
            script.keys.append(self.headers.get("Authorization"))
            script.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            reply = script.replies.get(request, Reply("no such path", 404))
            reply.after()
            content = reply.content()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def script() -> Iterator[Scripted]:
    made = Scripted()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(made)) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()

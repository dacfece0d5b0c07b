"""A static engine to measure against: nginx when it is installed, else a small asyncio Protocol. Loopback only; ends with its block."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"%s"}}]}'
    % (b"x" * 485)
)

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream engine {{ server 127.0.0.1:{static}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{static}; location / {{ return 200 '{answer}'; }} }}
  server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""


class _Static(asyncio.Protocol):
    """Answers every read with the same bytes: enough for one request at a time."""

    ANSWER = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (len(ANSWER), ANSWER)
    )

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, _):
        self.transport.write(self.ANSWER)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def child(*argv: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the block."""
    process = subprocess.Popen([str(word) for word in argv])
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, seconds: float = 20) -> None:
    """Return when something listens there. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on 127.0.0.1:{port}")


@contextlib.contextmanager
def running() -> Iterator[tuple[int, int | None]]:
    """The ports of the static engine and of nginx's `proxy_pass` in front of it (None without nginx)."""
    nginx, port, proxy = shutil.which("nginx"), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        argv: tuple[object, ...] = (sys.executable, __file__, port)
        if nginx:
            conf = Path(folder, "nginx.conf")
            conf.write_text(
                _NGINX.format(folder=folder, static=port, proxy=proxy, answer=ANSWER.decode())
            )
            argv = (nginx, "-e", "stderr", "-c", conf)
        with child(*argv):
            wait_for(port)
            yield port, proxy if nginx else None


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Static, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

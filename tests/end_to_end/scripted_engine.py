"""An engine that misbehaves on demand: `python scripted_engine.py --port N [--do WORD]…`. Standard library only, starts at once.

drop        answers the health check, then closes every other connection without a word
garbage     answers the health check, then speaks no HTTP
half        streams two events and dies
trickle     streams an event every 20 ms until its client leaves, then prints `client left`
sick        never becomes healthy
loud        prints 200 kB with every request
stubborn    ignores SIGTERM
echo        prints what it is asked, one line of JSON; streams where that is asked for, and then ends as it should
slow        becomes healthy only once the file named by --gate exists
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import time
from pathlib import Path

HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
SICK = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
JSON = b'{"choices":[{"message":{"role":"assistant","content":"hi"}}]}'
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def read(connection: socket.socket) -> tuple[bytes, bytes]:
    """The request's head, and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(min(1 << 20, length - len(body)))
    return head, body


def serve(connection: socket.socket, ways: set[str], gate: Path | None) -> None:  # noqa: C901 - a list of ways
    with connection:
        while True:
            head, body = read(connection)
            if not head:
                return
            if head.startswith(b"GET /health"):
                well = "sick" not in ways and (gate is None or gate.exists())
                connection.sendall(HEALTHY if well else SICK)
                continue
            print(f"asked {head.splitlines()[0].decode()} body {len(body)}", flush=True)
            if "echo" in ways and echoed(head, body):
                connection.sendall(STREAM + chunk(EVENT) + chunk(DONE) + b"0\r\n\r\n")
                continue
            if head.startswith(b"GET /props"):
                connection.sendall(MISSING)
                continue
            if "loud" in ways:
                print(f"{'x' * 99}\n" * 2000, end="", flush=True)
            if "drop" in ways:
                return
            if "garbage" in ways:
                connection.sendall(b"SSH-2.0-nonsense\r\n\r\n")
                return
            if "half" in ways:
                connection.sendall(STREAM + chunk(EVENT) + chunk(EVENT))
                os._exit(3)
            if "trickle" in ways:
                trickle(connection)
                return
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(JSON), JSON)
            )


def echoed(head: bytes, body: bytes) -> bool:
    """Prints a chat's body; whether it asks for a stream."""
    if b"/chat/completions " in head:
        print(f"said {body.decode()}", flush=True)
    return b'"stream":true' in body.replace(b" ", b"")


def trickle(connection: socket.socket) -> None:
    connection.sendall(STREAM)
    try:
        while True:
            connection.sendall(chunk(EVENT))
            time.sleep(0.02)  # the pace is what this engine is for
    except OSError:
        print("client left", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--do", action="append", default=[])
    parser.add_argument("--gate", type=Path)
    options = parser.parse_args()
    ways = set(options.do)
    if "stubborn" in ways:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", options.port))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, ways, options.gate), daemon=True).start()


if __name__ == "__main__":
    main()

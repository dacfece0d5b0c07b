"""What a whole turn of a conversation costs corral, in front of an engine that answers at once: beside a request that belongs to none.

    python bench/conversing.py [--messages 100000] [--turns 300] [--rounds 3]

The client sends one new question at a time, in the one session of a store of many messages; the prompt has what fits into the engine's context
of 8192 tokens. CPU is that of corral's whole process, its database's thread too, per turn; `p50` is the time of the whole request, less what
the engine itself takes for the same prompt. The median round of each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
import uvloop

from conversations import TEXT, filled
from static import child, free_port, wait_for

CONFIG = """
models:
  m: {{cmd: "sleep 86400", proxy: "http://127.0.0.1:{engine}", checkEndpoint: none}}
sessions: {{store: "{store}", parkKV: "off"}}
logLevel: error
"""
CONTEXT = 8192
WORDS = 20
"""Events of a streamed answer."""
PATH = "/v1/chat/completions"


# --- the engine ----------------------------------------------------------------------------------------------------


def answered(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def usage(body: bytes) -> dict[str, int]:
    return {"prompt_tokens": len(body) // 4, "completion_tokens": 100}


def chat(body: bytes) -> bytes:
    said = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    answer = {"id": "c", "object": "chat.completion", "choices": [said], "usage": usage(body)}
    return answered(b"application/json", json.dumps(answer).encode())


def stream(body: bytes) -> bytes:
    """In pieces of one event each, as engines send them."""
    choices = [{"index": 0, "delta": {"content": TEXT[:20]}, "finish_reason": None}]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage(body)}
    events = [json.dumps({"id": "c", "choices": choices})] * WORDS
    texts = [b"data: %b\n\n" % event.encode() for event in [*events, json.dumps(last), "[DONE]"]]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%b\r\n" % (len(text), text) for text in texts) + b"0\r\n\r\n"


class Engine(asyncio.Protocol):
    """One request at a time on each connection."""

    def connection_made(self, transport):
        self.transport, self.data = transport, bytearray()

    def data_received(self, data):
        self.data += data
        head, found, body = bytes(self.data).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if found and len(body) >= int(length or 0):
            self.data.clear()
            self.transport.write(self.answer(head.split(b" ")[1], body))

    def answer(self, path: bytes, body: bytes) -> bytes:
        if path == b"/props":
            props = {"default_generation_settings": {"n_ctx": CONTEXT}}
            return answered(b"application/json", json.dumps(props).encode())
        if path.endswith(b"/input_tokens"):
            return answered(b"application/json", b'{"input_tokens":%d}' % (len(body) // 4))
        return stream(body) if b'"stream":true' in body.replace(b" ", b"") else chat(body)


async def engine(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port)
    await server.serve_forever()


# --- the client ----------------------------------------------------------------------------------------------------


class Figures(NamedTuple):
    """Milliseconds of a turn."""

    cpu: float
    p50: float


def ask(connection: http.client.HTTPConnection, body: dict) -> float:
    """Milliseconds until the answer is whole."""
    text, begin = json.dumps(body), time.perf_counter()
    connection.request("POST", PATH, text, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return 1000 * (time.perf_counter() - begin)


def measure(port: int, process: psutil.Process, turns: int, **body: object) -> Figures:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    question = [{"role": "user", "content": f"What of it? {TEXT}"}]
    ask(connection, {"model": "m", "messages": question, **body})  # warm up
    before = process.cpu_times()
    times = [ask(connection, {"model": "m", "messages": question, **body}) for _ in range(turns)]
    after = process.cpu_times()
    connection.close()
    spent = after.user - before.user + after.system - before.system
    return Figures(1000 * spent / turns, median(times))


def bare(port: int, turns: int, *, streamed: bool) -> float:
    """The engine by itself, with a prompt of the length that corral makes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    messages = [{"role": "user", "content": TEXT}] * (CONTEXT * 4 // len(TEXT))
    body = {"model": "m", "messages": messages, "stream": streamed}
    taken = median(ask(connection, body) for _ in range(turns))
    connection.close()
    return taken


@contextlib.contextmanager
def running(folder: Path, at: int) -> Iterator[tuple[int, psutil.Process]]:
    port, config = free_port(), folder / "config.yaml"
    config.write_text(CONFIG.format(engine=at, store=folder / "store.db"))
    command = (sys.executable, "-m", "corral", "serve", "--config", config)
    with child(*command, "--listen", f"127.0.0.1:{port}") as process:
        wait_for(port)
        yield port, psutil.Process(process.pid)


def report(folder: Path, turns: int, rounds: int) -> None:
    at = free_port()
    with child(sys.executable, __file__, "--engine", at):
        wait_for(at)
        with running(folder, at) as (port, process):
            print(f"{'':24} {'CPU ms':>8} {'p50 ms':>8} {'less the engine':>16}")
            for streamed in (False, True):
                engine_alone = bare(at, turns, streamed=streamed)
                for name, session in (("no conversation", {}), ("a turn", {"session_id": "s0"})):
                    taken = [
                        measure(port, process, turns, stream=streamed, **session)
                        for _ in range(rounds)
                    ]
                    cpu, p50 = (median(values) for values in zip(*taken, strict=True))
                    what = f"{name}, {'streamed' if streamed else 'plain'}"
                    print(f"{what:24} {cpu:8.2f} {p50:8.2f} {p50 - engine_alone:16.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        return uvloop.run(engine(given.engine))
    folder = Path(tempfile.mkdtemp())
    try:
        uvloop.run(filled(folder / "store.db", given.messages, given.messages))
        report(folder, given.turns, given.rounds)
    finally:
        shutil.rmtree(folder)
    return None


if __name__ == "__main__":
    main()

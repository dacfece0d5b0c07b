"""What a relayed chunk costs: CPU per chunk at 50 streams of 100 chunks per second each.

    python bench/stream.py [--streams 50] [--rate 100] [--seconds 8] [--rounds 3] [--app "COMMAND with {port} and {upstream}"]

The engine is a child that writes a chat chunk to every stream at the given rate; what is measured is the relaying process's own CPU
time, minus what it uses while idle.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import statistics
import sys

import psutil

from load import BODY
from static import child, free_port, wait_for
from warm import MINIMAL

CHUNK = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def serve(port: int, rate: float) -> None:
    """The engine: every request gets an endless stream."""
    framed = b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK)

    async def stream(reader, writer):
        if not await reader.read(2**16):  # only a look whether anybody listens
            writer.close()
            return
        writer.write(HEAD)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not writer.is_closing():
            writer.write(framed)
            due += 1 / rate
            await asyncio.sleep(max(0, due - loop.time()))

    server = await asyncio.start_server(stream, "127.0.0.1", port)
    await server.serve_forever()


async def listen(
    port: int, streams: int, seconds: float, process: psutil.Process
) -> tuple[int, float]:
    """Chunks received, and CPU seconds used, between the first second and the last."""
    received, measuring = 0, False

    class Client(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(BODY), BODY)
            )

        def data_received(self, data):
            nonlocal received
            received += data.count(b"data: ") if measuring else 0

    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_connection(Client, "127.0.0.1", port))[0] for _ in range(streams)
    ]
    await asyncio.sleep(1)
    measuring, before = True, process.cpu_times()
    await asyncio.sleep(seconds)
    measuring, after = False, process.cpu_times()
    for transport in transports:
        transport.abort()
    return received, after.user + after.system - before.user - before.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--app", default=MINIMAL)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return asyncio.run(serve(given.serve, given.rate))
    engine, port = free_port(), free_port()
    with child(sys.executable, __file__, "--serve", engine, "--rate", given.rate):
        wait_for(engine)
        with child(
            *shlex.split(given.app.format(port=port, upstream=f"http://127.0.0.1:{engine}"))
        ) as app:
            wait_for(port)
            costs = []
            for _ in range(given.rounds):
                received, cpu = asyncio.run(
                    listen(port, given.streams, given.seconds, psutil.Process(app.pid))
                )
                costs.append(cpu / received * 1e6)
                print(
                    f"{received} chunks, {received / given.seconds:.0f}/s, {costs[-1]:.1f} us CPU per chunk"
                )
    print(f"median {statistics.median(costs):.1f} us CPU per chunk")
    return None


if __name__ == "__main__":
    main()

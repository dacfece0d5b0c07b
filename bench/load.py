"""Load for one URL: wrk when it is installed, else a small asyncio generator (slower, so it measures itself as much)."""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BODY = (
    b'{"model":"m","messages":[{"role":"system","content":"%s"},{"role":"user","content":"Hello"}]}'
    % (b"s" * 270)
)
_LUA = 'wrk.method="POST"\nwrk.headers["content-type"]="application/json"\nwrk.body=[[%s]]\n'
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True, slots=True)
class Figures:
    """`p50` is microseconds, `rate` requests per second."""

    rate: float
    p50: float
    errors: int


def load(
    port: int, *, connections: int, seconds: float, path: str = "/v1/chat/completions"
) -> Figures:
    """POST a 360-byte chat request over keep-alive connections for that long."""
    if wrk := shutil.which("wrk"):
        return _wrk(wrk, port, path, connections, seconds)
    return asyncio.run(_asyncio(port, path, connections, seconds))


def _wrk(wrk: str, port: int, path: str, connections: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(_LUA % BODY.decode())
        argv = [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "-s",
            str(script),
        ]
        text = subprocess.run(
            [*argv, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
        ).stdout
    latency = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Figures(
        float(rate[1]) if rate else 0,
        float(latency[1]) * _UNITS[latency[2]] if latency else 0,
        int(bad[1]) if bad else 0,
    )


async def _asyncio(port: int, path: str, connections: int, seconds: float) -> Figures:
    until, times, errors = time.perf_counter() + seconds, [], 0
    request = (
        b"POST %b HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (
            path.encode(),
            len(BODY),
            BODY,
        )
    )

    async def client() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            errors += not head.startswith(b"HTTP/1.1 200")
            times.append(time.perf_counter() - start)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client())
    return Figures(len(times) / seconds, statistics.median(times) * 1e6, errors)

"""How long the shipped engine takes from spawn to its first 200 on /health, with a tiny model: the median of ten.

Run with `python bench/engine_start.py [RUNS]`.
"""

from __future__ import annotations

import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINE = Path(sys.executable).with_name("corral-llama-server")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def start(model):
    """Milliseconds of one start."""
    port = free_port()
    began = time.perf_counter()
    command = [ENGINE, "-m", model, "--port", str(port), "--host", "127.0.0.1", "-c", "4096"]
    engine = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not healthy(port):
        time.sleep(0.0005)
    took = time.perf_counter() - began
    engine.terminate()
    engine.wait()
    return took * 1000


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "tiny.gguf")
        subprocess.run([sys.executable, "-m", "corral.engines.tiny", model], check=True)
        times = [start(model) for _ in range(runs)]
    print(
        f"spawn to ready: {statistics.median(times):.0f} ms (from {min(times):.0f} to {max(times):.0f})"
    )


if __name__ == "__main__":
    main()

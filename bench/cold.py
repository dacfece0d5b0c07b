"""What a cold request costs over the engine's own spawn-to-ready, and what corral costs before any request.

    python bench/cold.py [ROUNDS]

Every round starts the shipped engine by itself and asks its /health in a tight loop, then asks corral for the same model, unloaded;
medians of both and of their differences are printed. Then: time from launch to listening, and idle memory.
"""

from __future__ import annotations

import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from engine_start import free_port, start

CONFIG = """
models:
  m: {{cmd: "corral-llama-server -m {model} --port ${{PORT}} --host 127.0.0.1 -c 4096", proxy: "http://127.0.0.1:${{PORT}}"}}
logLevel: error
"""


@contextlib.contextmanager
def corral(folder: Path, model: Path):
    """A running corral: its URL, its process, and the milliseconds from launch to listening."""
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(model=model))
    began = time.perf_counter()
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "corral", "serve", "--config", str(config), "--listen", listen]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                yield found[1], process, 1000 * (time.perf_counter() - began)
                break
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def ask(url: str, path: str, body: dict | None = None) -> float:
    """Milliseconds until the whole answer is there."""
    data = json.dumps(body or {}).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "tiny.gguf"
        subprocess.run([sys.executable, "-m", "corral.engines.tiny", model], check=True)
        alone, cold, warm = [], [], []
        with corral(folder, model) as (url, process, _):
            memory = psutil.Process(process.pid).memory_info().rss / 2**20
            for _ in range(rounds):
                alone.append(start(model))
                cold.append(ask(url, "/v1/chat/completions", asked))
                warm.append(ask(url, "/v1/chat/completions", asked))
                ask(url, "/api/models/unload")
        listening = []
        for _ in range(7):
            with corral(folder, model) as (_, _, took):
                listening.append(took)
    added = [c - w - a for a, c, w in zip(alone, cold, warm, strict=True)]
    median = statistics.median
    print(f"engine alone, spawn to ready  {median(alone):6.1f} ms")
    print(f"cold request through corral   {median(cold):6.1f} ms")
    print(f"the same request, warm        {median(warm):6.1f} ms")
    print(f"added by corral               {median(added):6.1f} ms (median of differences)")
    print(f"launch to listening           {median(listening):6.0f} ms")
    print(f"memory, idle                  {memory:6.1f} MiB")


if __name__ == "__main__":
    main()

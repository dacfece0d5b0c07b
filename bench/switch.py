"""How long a switch between two tiny models takes, and where the time goes.

    python bench/switch.py [ROUNDS]

Every round starts the shipped engine by itself (spawn to the first 200 on /health, asked in a tight loop), then has corral switch from one
model to the other. Medians in milliseconds of the engine's own start, of the whole call as a client sees it, of the report's phases, and
of what is left when the engine's own start is taken from the call: what corral adds, and what the old engine's end takes.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

from cold import ask
from engine_start import free_port, start

CONFIG = """
models:
  a: {{cmd: "corral-llama-server -m {model} --port ${{PORT}} --host 127.0.0.1 -c 4096"}}
  b: {{cmd: "corral-llama-server -m {model} --port ${{PORT}} --host 127.0.0.1 -c 4096"}}
switching: {{active: a}}
logLevel: error
"""


def switch(url: str, model: str) -> tuple[float, dict]:
    """Milliseconds of the call, and its report."""
    body = json.dumps({"model": model}).encode()
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/admin/switch", body, timeout=60) as answer:
        report = json.load(answer)
    return 1000 * (time.perf_counter() - began), report


def told(times: list[float]) -> str:
    return f"{statistics.median(times):7.1f}   ({min(times):.1f} to {max(times):.1f})"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(name, "tiny.gguf")
        subprocess.run([sys.executable, "-m", "corral.engines.tiny", model], check=True)
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(model=model))
        url = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "corral", "serve", "--config", config, "--listen", url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            next(line for line in process.stderr if "listening on" in line)
            url = f"http://{url}"
            ask(url, "/api/models/load/a")
            for target in itertools.islice(itertools.cycle("ba"), rounds):
                alone = start(model)
                took, report = switch(url, target)
                times["the engine's own start"].append(alone)
                times["the whole call"].append(took)
                times["  as reported"].append(1000 * report["elapsed_seconds"])
                for phase, seconds in report["phases"].items():
                    times[f"    {phase}"].append(1000 * seconds)
                times["call less the engine's start"].append(took - alone)
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()
    print(f"medians of {rounds} rounds, in ms (and from the least to the most)")
    for what, values in times.items():
        print(f"{what:30}{told(values)}")


if __name__ == "__main__":
    main()

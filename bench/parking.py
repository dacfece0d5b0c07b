"""What coming back to a model costs a conversation, with its slot parked and without.

    python bench/parking.py [--width N] [--layers N] [TOKENS ...]

For each length of history (default 1500 3000 6000 tokens) one session has a turn on `a`, another one on `b`, which takes a's room, and then
the first one goes on with `a`. Milliseconds of that last turn's prompt as the engine counts them, tokens that it read and that it did not have
to, the size of the file, and what unloading `a` took. Two rounds: `parkKV: auto` and `off`. The models are random numbers in llama's shape:
what is measured is reading a prompt against reading a file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from engine_start import free_port

CONFIG = """
sessions: {{parkKV: {parking}}}
logLevel: warn
models:
  a: {{cmd: "corral-llama-server -m {folder}/a.gguf --port ${{PORT}} -c 32768"}}
  b: {{cmd: "corral-llama-server -m {folder}/b.gguf --port ${{PORT}} -c 4096"}}
"""


def asked(url: str, path: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url + path, data, timeout=600) as answer:
        said = answer.read()
    return json.loads(said) if said.startswith(b"{") else {}


def turn(url: str, model: str, session: str, text: str) -> dict:
    """The answer's timings."""
    message = {"role": "user", "content": text}
    body = {"model": model, "session_id": session, "messages": [message], "max_tokens": 8}
    return asked(url, "/v1/chat/completions", body | {"temperature": 0})["timings"]


def measured(url: str, tokens: int) -> str:
    session = f"s{tokens}"
    first = turn(url, "a", session, session + " tell me more." * (tokens // 14))
    began = time.perf_counter()
    asked(url, "/api/models/unload/a", {})
    unloaded = 1000 * (time.perf_counter() - began)
    turn(url, "b", "other", "hello")
    again = turn(url, "a", session, "go on")
    parked = asked(url, f"/api/sessions/{session}")["parked"].get("a", 0)
    return (
        f"{first['prompt_n']:8} {first['prompt_ms']:10.0f} {again['cache_n']:8} {again['prompt_n']:6}"
        f" {again['prompt_ms']:9.0f} {parked / 1e6:8.1f} {unloaded:9.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", default="512")
    parser.add_argument("--layers", default="8")
    parser.add_argument("tokens", nargs="*", type=int, default=[1500, 3000, 6000])
    options = parser.parse_args()
    shape = ["--width", options.width, "--layers", options.layers, "--heads", "8"]
    print("parkKV  history  first (ms)   reused   read  back (ms)     (MB)  unload (ms)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in ("a", "b"):
            arguments = [sys.executable, "-m", "corral.engines.tiny", folder / f"{model}.gguf"]
            subprocess.run([*arguments, *shape, "--context", "32768"], check=True)
        for parking in ("auto", "off"):
            for row in rows(folder, parking, options.tokens):
                print(f"{parking:6} {row}", flush=True)


def rows(folder: Path, parking: str, tokens: list[int]) -> list[str]:
    config = folder / f"{parking}.yaml"
    config.write_text(CONFIG.format(folder=folder, parking=parking))
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "corral", "serve", "--config", config, "--listen", listen]
    env = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    try:
        next(line for line in process.stderr if "listening on" in line)
        return [measured(f"http://{listen}", count) for count in tokens]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


if __name__ == "__main__":
    main()

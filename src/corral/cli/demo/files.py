"""What the demo serves: tiny models and the voice/coding matrix, in a cache folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from corral.cli.exits import Exit, Failure

NEEDED = ("xllamacpp", "gguf", "numpy")

SEEDS = {"small.gguf": 1, "big.gguf": 2}
"""Model file → the seed of its random weights."""

MODELS: dict[str, tuple[str, list[str]]] = {
    "chat-small": ("small.gguf", ["-c", "4096", "-ctk", "f16", "-ctv", "f16"]),
    "think-small": ("big.gguf", ["-c", "8192", "-fa", "on", "-ctk", "q4_0", "-ctv", "q4_0"]),
    "think-big": ("big.gguf", ["-c", "98304", "-fa", "on", "-ctk", "q4_0", "-ctv", "q4_0"]),
}
"""Model → its file and flags: two voice models, and the big one again with a long context."""

MATRIX = {
    "vars": {"cs": "chat-small", "ts": "think-small", "tb": "think-big"},
    "sets": {"voice": "cs & ts", "coding": "tb"},
}


def folder() -> Path:
    """`$XDG_CACHE_HOME/corral/demo`, made if needed."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    made = Path(cache) / "corral" / "demo"
    made.mkdir(parents=True, exist_ok=True)
    return made


def write(where: Path) -> Path:
    """Write the models that are missing and the configuration; the latter's path. Failure when the engine is not installed."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        needs = f"the demo needs {', '.join(missing)}: pip install 'corral[llama]'"
        raise Failure(needs, Exit.MISUSED)
    for name, seed in SEEDS.items():
        if not (where / name).exists():
            _write_model(where / name, seed)
    config = where / "config.yaml"
    config.write_text(configuration(where), encoding="utf-8")
    return config


def configuration(where: Path) -> str:
    """The configuration, for model files in `where`."""
    models = {name: _model(where / file, flags) for name, (file, flags) in MODELS.items()}
    return json.dumps({"models": models, "matrix": MATRIX}, indent=2, ensure_ascii=False)


def _model(path: Path, flags: list[str]) -> dict[str, Any]:
    address = ["--host", "127.0.0.1", "--port", "${PORT}"]
    # One thread is plenty for half a megabyte, and llama.cpp's threads spin while others compute.
    cmd = [_engine(), "-m", str(path), *flags, "-np", "1", "-t", "1", *address]
    return {"cmd": cmd, "proxy": "http://127.0.0.1:${PORT}", "ttl": 1800}


def _engine() -> str:
    """The shipped engine beside this Python; its name alone when it is only on the PATH."""
    return (
        shutil.which("corral-llama-server", path=Path(sys.executable).parent)
        or "corral-llama-server"
    )


def _write_model(path: Path, seed: int) -> None:
    """Whole or not at all: a half-written file would be taken for a model next time."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    command = [sys.executable, "-m", "corral.engines.tiny", str(unfinished), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"cannot write {path}: {last}")
    unfinished.replace(path)

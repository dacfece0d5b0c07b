"""Models of a router, on a machine whose llama-server has no router mode: they run by commands of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

CONFIG = """\
routers:
  llama:
    cmd: llama-server --port ${PORT}
models:
  small:
    router: llama
    cmd: llama-server -m models/small.gguf --port ${PORT} -c 512
  bare: {router: llama}
"""

# Only corral and the interpreter: whatever else this machine has is not to be found.
PLAIN = {"PATH": str(Path(sys.executable).parent)}


@pytest.fixture
def old(tmp_path):
    """An environment with a llama-server from before there were routers: the shipped engine under that name."""
    folder = tmp_path / "old"
    folder.mkdir()
    engine = folder / "llama-server"
    engine.write_text(
        f"""#!/bin/sh
if [ "$1" = --help ]; then echo "-m, --model FNAME"; exit; fi
exec {sys.executable} -m corral.engines.llama "$@"
"""
    )
    engine.chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), "/usr/bin", "/bin"])}


def alone(one) -> None:
    answer = one.chat("small")
    assert answer.status_code == 200
    assert one.state("small")["cmd"].endswith("-c 512")
    assert one.http.get("/admin/state").status_code == 200
    answer = one.chat("bare")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"].startswith(
        "bare: no llama-server with a router mode for its router `llama`; install"
    )
    assert one.running() == {"small"}  # nobody had to go for that


def test_the_shipped_engine_runs_them_and_says_so(corral):
    one = corral(CONFIG, env=PLAIN)
    one.said("no llama-server on this machine: the shipped engine runs small")
    one.said(
        "no llama-server with a router mode on this machine: run by commands of their own: small"
    )
    alone(one)


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_a_llama_server_without_a_router_mode_runs_them(corral, old):
    one = corral(CONFIG, env=old)
    one.said("run by commands of their own: small")
    alone(one)

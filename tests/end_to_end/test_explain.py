"""`corral explain` as a person uses it, against a corral that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
CONFIG = f"""
models:
  talk: {{cmd: "{PYTHON} --do trickle"}}
  think: {{cmd: "{PYTHON}"}}
  code: {{cmd: "{PYTHON}"}}
matrix:
  sets: {{voice: talk & think, coding: code}}
"""


def explain(house, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CORRAL_URL": house.url, "COLUMNS": "200"}
    command = [sys.executable, "-m", "corral", "explain", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def sentence(house, model: str) -> str:
    done = explain(house, model)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_what_is_explained_is_what_happens(corral):
    house = corral(CONFIG)
    assert "would have to wait: think has to load" in sentence(house, "think")
    assert house.chat("think").status_code == 200
    assert "would be served at once" in sentence(house, "think")

    said = sentence(house, "code")
    assert "in the place of others: think would be stopped for it at once" in said
    assert house.running() == {"think"}  # nobody has been harmed by asking

    body = {"model": "talk", "stream": True}
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()  # kept: the stream ends with it
        assert b"choices" in next(pieces)
        told = json.loads(explain(house, "code", "--json").stdout)
        assert told["outcome"] == "would wait"
        assert {v["model"]: v["in_flight"] for v in told["victims"]} == {"talk": 1, "think": 0}
        assert "talk has 1 in flight" in told["reason"]
        assert "set coding" in told["rule"]
    house.until(lambda: house.state("talk")["in_flight"] == 0)

    assert house.chat("code").status_code == 200
    assert house.running() == {"code"}
    left = house.state("think")["last_eviction"]
    assert left["for"] == "code"
    assert told["rule"] in left["why"]

    unknown = explain(house, "cod")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "did you mean `code`" in unknown.stderr

"""What a real corral prints: on which stream, as `logToStdout` says, and to a reader who has stopped reading."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
LISTENING = re.compile(r"listening on (http://\S+)")


class Printing:
    """A corral whose stdout nobody reads until it has ended; `url` is where it answers."""

    def __init__(self, folder: Path, more: str, ways: str = "") -> None:
        command = f"{sys.executable} -S {ENGINE} --port ${{PORT}} {ways}"
        (folder / "config.yaml").write_text(f'models: {{a: {{cmd: "{command}"}}}}\n{more}')
        private = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("STATE", "CACHE")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "corral", "serve", "--listen", "127.0.0.1:0"],
            cwd=folder,
            env=os.environ | private,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        while not (found := LISTENING.search(self.said)):
            line = self.process.stderr.readline()
            assert line, f"it ended: {self.said}"
            self.said += line
        self.url = found[1]

    def chat(self) -> int:
        body = {"model": "a", "messages": []}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60).status_code

    def ended(self) -> tuple[int, str, str]:
        """Have it leave: exit code, all of stdout, all of stderr."""
        if self.process.poll() is None:
            self.process.terminate()
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, self.said + err


@pytest.fixture
def printing(tmp_path):
    ones = []

    def start(more="", ways=""):
        ones.append(Printing(tmp_path, more, ways))
        return ones[-1]

    yield start
    for one in ones:
        one.ended()


@pytest.mark.parametrize(
    ("shown", "own", "models"),
    [
        ("proxy", True, False),
        ("both", True, True),
        ("upstream", False, True),
        ("none", False, False),
    ],
)
def test_stdout_has_what_is_asked_for_and_stderr_the_greeting(printing, shown, own, models):
    one = printing(f"logToStdout: {shown}\nlogTimeFormat: rfc3339\n")
    assert one.chat() == 200
    combined = httpx.get(f"{one.url}/logs").text
    code, out, err = one.ended()
    assert code == 0
    loading = re.search(r"^\d{4}-\d\d-\d\dT\S+ INFO    loading a", out, re.MULTILINE)
    asked = re.search(r"^asked POST /v1/chat/completions", out, re.MULTILINE)
    requests = re.search(
        r'INFO    Request 127\.0\.0\.1 "POST /v1/chat/completions HTTP/1\.1" 200 \d+ "python-httpx/\S+" \S+s$',
        out,
        re.MULTILINE,
    )
    assert (bool(loading), bool(requests), bool(asked)) == (own, own, models)
    assert out.startswith(combined), "/logs is what is printed"
    assert all(line.startswith("corral: ") for line in err.splitlines())


def test_the_last_request_before_the_end_is_in_the_log(printing):
    one = printing()
    assert one.chat() == 200
    code, out, _ = one.ended()
    assert code == 0
    assert out.count("POST /v1/chat/completions") == 1


def test_a_reader_who_has_stopped_reading_holds_nobody_up(printing):
    one = printing("logToStdout: both\n", "--do loud")
    for _ in range(10):  # 2 MB, which no pipe takes
        assert one.chat() == 200
    code, out, _ = one.ended()
    assert code == 0
    assert "bytes of output left out: nobody read them]" in out

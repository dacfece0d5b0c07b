"""A real corral in a process of its own, in front of the real llama.cpp on tiny models, spoken to by the official clients."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from corral.engines import tiny

LISTENING = re.compile(r"listening on (http://\S+)")


class Corral:
    """A running `corral serve`. `output` is everything it has printed."""

    def __init__(self, *arguments: str, folder: Path, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.output = ""
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "corral", "serve", "--listen", "127.0.0.1:0", *arguments],
            cwd=folder,
            env=os.environ | private(folder) | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="corral's output")
        self._reader.start()
        self.url = self.said(LISTENING)[1]
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.output += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def said(self, pattern: re.Pattern[str] | str, seconds: float = 30) -> re.Match[str]:
        """The first match in the output, waited for."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.output)

        with self._news:
            match = self._news.wait_for(lambda: found() or not self._reader.is_alive(), seconds)
        assert isinstance(match, re.Match), f"never said {pattern!r}:\n{self.output}"
        return match

    def openai(self, **options: object) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, **options)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)

    def chat(self, model: str, text: str = "hi", **more: object) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        return self.http.post("/v1/chat/completions", json=body | more)

    def running(self) -> set[str]:
        return {one["model"] for one in self.http.get("/running").json()["running"]}

    def state(self, model: str) -> dict[str, object]:
        return self.http.get(f"/api/models/{model}").json()

    def until(self, holds: Callable[[], bool], seconds: float = 20) -> None:
        """Ask again until it holds. The bound is for a broken corral; a sound one needs a few rounds."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if holds():
                return
            pause.wait(0.02)
        pytest.fail(f"did not come about in {seconds} s:\n{self.output}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to leave and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(10)
            self.process.stdout.close()
            self.http.close()


def private(folder: Path) -> dict[str, str]:
    """Folders of its own, so that runs beside each other share nothing but the machine."""
    return {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CACHE")}


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `small.gguf`, `big.gguf` and `embed.gguf`."""
    folder = tmp_path_factory.mktemp("gguf")
    tiny.write(folder / "small.gguf", seed=1, embedding=True)  # the examples also embed with it
    tiny.write(folder / "big.gguf", seed=2)
    tiny.write(folder / "embed.gguf", seed=3, embedding=True)
    return folder


@pytest.fixture
def corral(tmp_path: Path, gguf: Path) -> Iterator[Callable[..., Corral]]:
    """`corral(config_text)` starts one with its models beside it; all are ended with the test."""
    (tmp_path / "models").symlink_to(gguf)
    with contextlib.ExitStack() as running:

        def start(config: str | Path, *arguments: str, **options: object) -> Corral:
            path = config
            if isinstance(config, str):
                path = tmp_path / "config.yaml"
                path.write_text(config)
            one = Corral("--config", str(path), *arguments, folder=tmp_path, **options)
            running.callback(one.stop)
            return one

        yield start

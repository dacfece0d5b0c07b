"""The shipped engine as a real child on tiny models: spawned, read, ended by its pid."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

BOUND = 60
ENGINE = Path(sys.executable).with_name("corral-llama-server")


class Engine:
    """A running `corral-llama-server`; `lines` is what it has said on stderr."""

    def __init__(self, arguments, environ, folder):
        self.process = subprocess.Popen(
            [ENGINE, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environ},
            cwd=folder,
            text=True,
        )
        self.lines = []
        self._heard = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._over = True
            self._heard.notify_all()

    def hears(self, text):
        """The first line that holds `text`; fails when the engine ends before it comes."""

        def found():
            return next((line for line in self.lines if text in line), None)

        with self._heard:
            assert self._heard.wait_for(lambda: found() or self._over, BOUND), self.lines
            assert found(), self.lines
            return found()

    def ready(self):
        """Wait until it serves; return a client for it, to be used in a `with`."""
        address = self.hears("serving ").rpartition(" on ")[2]
        with client_of(address) as client:
            assert client.get("/health").json() == {"status": "ok"}
        return client_of(address)

    def ends(self):
        """Wait for its end; return its exit status and the last line it said."""
        status = self.process.wait(BOUND)
        self._reader.join(BOUND)
        return status, self.lines[-1] if self.lines else ""

    def tell(self, number):
        self.process.send_signal(number)
        return self.ends()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(BOUND)
        self._reader.join(BOUND)
        self.process.stdout.close()
        self.process.stderr.close()


def client_of(address):
    if address.startswith("http"):
        return httpx.Client(base_url=address, timeout=BOUND)
    transport = httpx.HTTPTransport(uds=address.removeprefix("unix://"))
    return httpx.Client(transport=transport, base_url="http://engine", timeout=BOUND)


@contextmanager
def running(*arguments, environ=None, folder=None):
    engine = Engine(arguments, environ or {}, folder)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A tiny model that talks."""
    from corral.engines.tiny import write

    return write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def embedder(tmp_path_factory):
    """A tiny model that embeds."""
    from corral.engines.tiny import write

    return write(tmp_path_factory.mktemp("models") / "embed.gguf", embedding=True)


@pytest.fixture
def engine():
    """`with engine(*arguments) as e`: the engine with these arguments, on a free port unless they name one."""

    def start(*arguments, environ=None, folder=None):
        free = () if {"--port", "--host"} & set(arguments) else ("--port", "0")
        return running(*arguments, *free, environ=environ, folder=folder)

    return start


@pytest.fixture(scope="module")
def serving(tiny, tmp_path_factory):
    """A client of one engine that a whole file shares, with slots that can be saved."""
    slots = tmp_path_factory.mktemp("slots")
    options = ("-c", "2048", "-np", "1", "--slot-save-path", slots, "--metrics", "--props")
    with running("-m", tiny, "--port", "0", *options) as shared, shared.ready() as client:
        yield client

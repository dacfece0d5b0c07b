"""The server that the demo runs: a child process as a scope, gone when its block ends, however that ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from corral.cli.exits import Failure

PORTS = range(8080, 8180)

DRAIN, STOP = 40.0, 10.0
"""Seconds to end after the first and after the second request to."""


def command(config: Path, port: int) -> list[str]:
    """`corral serve` on this machine only, with this Python."""
    serve = [sys.executable, "-m", "corral", "serve"]
    return [*serve, "--config", str(config), "--listen", f"127.0.0.1:{port}"]


def free_port() -> int:
    """The first free one from 8080 up."""
    for port in PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Failure(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


@contextmanager
def running(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `argv`, its output going to `log`.

    It gets its own session, so that the terminal's Ctrl-C reaches it once, through us.
    """
    with _interruptible(), log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - corral itself
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield server
        finally:
            _end(server)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does: the server must not be left behind."""
    names = ("SIGTERM", "SIGHUP")  # no SIGHUP on Windows
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Asked once, it lets requests finish; asked again (a second Ctrl-C), it stops at once; then it is killed."""
    for patience in (DRAIN, STOP):
        server.terminate()
        with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            server.wait(patience)
            return
    server.kill()
    server.wait()


def last_words(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"

"""A child process as a scope: it runs inside the block, and nothing of it is left after.

1. It has a session and a process group of its own, nothing to read, and one pipe for all that it writes.
2. The guardian knows of it before anybody else does, and everything it launches carries its mark.
3. Its exit is noticed at once (pidfd or SIGCHLD, by the loop), and does not wait for its output to end.
4. Leaving the block, however that happens, kills what is left: the group, then what left the group. Only then is the guardian
   told that it is gone. A descendant that keeps the pipe open cannot hold that up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from corral.config.command import fill
from corral.host import system
from corral.host.endings import exit_text
from corral.host.lifeline import MARK, Lifeline

# Seconds that descendants may take to die after SIGKILL, and the output to end after that.
SWEEP = 2.0
DRAIN = 0.5
_GLANCE = 0.001

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Command:
    """What to launch. `argv[0]` is a path; `env` is added to corral's own environment."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    stop: Sequence[str] = ()
    """Command that stops it, still with `${PID}`; none: SIGTERM."""


class Child(asyncio.SubprocessProtocol):
    """A launched process. `exited` is its return code (negative: the signal that ended it)."""

    def __init__(self, output: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self._output = output

    def __repr__(self) -> str:
        state = exit_text(self.exited.result()) if self.exited.done() else "running"
        return f"<Child pid={self.pid} {state}>"

    def terminate(self) -> None:
        """Ask the whole group to end."""
        system.terminate(self.pid)

    def kill(self) -> None:
        """End the whole group."""
        system.kill(self.pid)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but its bases.
        self.transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self.transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 (asyncio's signature)
        self._output(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 (as above)
        if not self.drained.done():
            self.drained.set_result(None)

    def process_exited(self) -> None:
        code = self.transport.get_returncode()
        self.exited.set_result(-1 if code is None else code)


@contextlib.asynccontextmanager
async def launched(
    command: Command, lifeline: Lifeline, output: Callable[[bytes], None]
) -> AsyncIterator[Child]:
    """Launch; `output` gets what it writes, piece by piece, on the loop. Raises OSError when it cannot be launched."""
    mark = f"{lifeline.token}.{next(_numbers)}"
    env = {**os.environ, **command.env, MARK: mark}
    loop = asyncio.get_running_loop()
    _, child = await loop.subprocess_exec(
        lambda: Child(output),
        *command.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        start_new_session=system.NEW_SESSION,
        creationflags=system.CREATION_FLAGS,
    )
    lifeline.tell(child.pid, stop_command(command.stop, child.pid), command.env)
    try:
        yield child
    finally:
        await _to_the_end(_ended(child, mark), f"end of process {child.pid}")
        lifeline.forget(child.pid)


def stop_command(words: Sequence[str], pid: int) -> tuple[str, ...]:
    """The stop command for this process."""
    return tuple(fill(word, pid=pid) for word in words)


async def _ended(child: Child, mark: str) -> None:
    child.kill()
    await asyncio.wait([child.exited])
    await asyncio.to_thread(_sweep, child.pid, f"{MARK}={mark}\0".encode())
    await asyncio.wait([child.drained], timeout=DRAIN)
    child.transport.close()


def _sweep(group: int, mark: bytes) -> None:
    """Kill descendants, in the group or by mark, and wait until they hold nothing any more."""
    deadline = time.monotonic() + SWEEP
    seen: set[int] = set()
    while time.monotonic() < deadline:
        system.kill(group)
        seen.update(system.kill_marked(mark))
        if not system.alive(group) and not any(map(system.is_running, seen)):
            return
        time.sleep(_GLANCE)


async def _to_the_end(work: Coroutine[None, None, None], name: str) -> None:
    """Clean-up that a cancellation does not cut short: it is raised when all is done."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()

"""The guardian: a tiny process that outlives corral by a moment, to end what corral leaves behind.

Corral holds the other end of its standard input. What comes through it are marshalled tuples (`Told`, `Forgotten`); its end
means that corral is gone, whether it said good-bye or was killed.

1. It runs in a session of its own and ignores what is sent to terminals and services: only the pipe's end ends it.
2. After the pipe's end it needs at most `PATIENCE + SWEEPING` seconds, and nothing that corral launched outlives it: it runs
   the stop commands (a container is no child of ours), asks the other groups to end, kills what is left.
3. No launch is missed. A child that corral had no time to register carries corral's mark in its environment, and the pipe's
   end is only seen when no half-launched child holds a copy of it (Linux; elsewhere a child launched in the very
   moment of corral's death is missed).
4. It is light: it imports nothing but what Python has loaded anyway, `marshal`, `signal`, `time`.
"""

# Suppressed: pathlib would double what this process weighs.
# ruff: noqa: PTH108, PTH118, PTH208, PTH106

from __future__ import annotations

import marshal
import os
import sys
import time

from corral.host import system

TYPE_CHECKING = False
if TYPE_CHECKING:  # keeps `typing` out of the process
    from typing import BinaryIO

    # What corral says: a group and, where it has one, its stop command with what is added to corral's environment; or a group that is gone.
    Told = tuple[int, tuple[str, ...], dict[str, str]]
    Forgotten = tuple[int]

# Seconds between the pipe's end and SIGKILL, and after it for the search by mark.
PATIENCE = 1.2
SWEEPING = 0.3
_GLANCE = 0.01


def main(mark: str, folder: str) -> None:
    """Listen until corral is gone, then end everything and remove `folder` (its sockets)."""
    system.ignore_signals()
    groups = listen(sys.stdin.buffer)
    end(groups)
    _sweep(mark.encode())
    _remove(folder)


def listen(pipe: BinaryIO) -> dict[int, Told]:
    """The groups that were left when the pipe ended."""
    groups: dict[int, Told] = {}
    while True:
        try:
            said: Told | Forgotten = marshal.load(pipe)  # noqa: S302 (corral itself wrote it)
        except (EOFError, ValueError, TypeError):  # also cut off in the middle
            return groups
        groups.pop(said[0], None)
        if len(said) == 3:
            groups[said[0]] = said


def end(groups: dict[int, Told]) -> None:
    """Stop commands and SIGTERM, a short wait, then SIGKILL for all groups, the stop commands' included."""
    deadline = time.monotonic() + PATIENCE
    waited = list(groups)
    for group, stop, env in groups.values():
        try:
            waited.append(system.spawn(stop, env)) if stop else system.terminate(group)
        except OSError:
            system.terminate(group)
    while time.monotonic() < deadline and any(map(system.alive, waited)):
        time.sleep(_GLANCE)
    for group in waited:
        system.kill(group)


def _sweep(mark: bytes) -> None:
    """Kill what carries the mark, until two looks in a row find nothing."""
    deadline = time.monotonic() + SWEEPING
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        quiet = 0 if system.kill_marked(mark) else quiet + 1
        time.sleep(_GLANCE)


def _remove(folder: str) -> None:
    try:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:  # corral removed it itself
        return

"""What Windows does its own way: console groups, `taskkill`, byte locks.

There is no session to end and no environment to read: what left the process tree is out of reach.
"""

# Suppressed: as in posix.py; the programs are fixed, or the user's own.
# ruff: noqa: PTH112, S101, S603, E402

from __future__ import annotations

import sys

assert sys.platform == "win32"

import msvcrt
import os
import signal
import subprocess

NEW_SESSION = False
CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
SOCKET_PATH_LIMIT = 100


def terminate(group: int) -> None:
    """Ask the process and what shares its console group to end."""
    try:
        os.kill(group, signal.CTRL_BREAK_EVENT)
    except OSError:  # gone, or without a console
        return


def kill(group: int) -> None:
    """End the process and its descendants."""
    command = ["taskkill", "/f", "/t", "/pid", str(group)]
    subprocess.run(command, check=False, capture_output=True, timeout=10)


def alive(group: int) -> bool:
    """Whether the process still runs."""
    command = ["tasklist", "/nh", "/fi", f"PID eq {group}"]
    listing = subprocess.run(command, check=False, capture_output=True, timeout=10)
    return str(group).encode() in listing.stdout


def kill_marked(mark: bytes) -> list[int]:  # noqa: ARG001 (posix.py's signature)
    """Windows does not show another process's environment: none is found."""
    return []


def is_running(pid: int) -> bool:
    """Whether the process still runs."""
    return alive(pid)


def spawn(argv: tuple[str, ...], env: dict[str, str]) -> int:
    """Launch a program that nobody waits for, in its own group; its pid. Raises OSError."""
    nothing = subprocess.DEVNULL
    flags = subprocess.CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        argv, env=env, stdin=nothing, stdout=nothing, stderr=nothing, creationflags=flags
    ).pid


def ignore_signals() -> None:
    """Stay through what is sent to a whole console at once."""
    for number in (signal.SIGINT, signal.SIGBREAK):
        signal.signal(number, signal.SIG_IGN)


def never_block(pipe: int) -> None:
    """Windows' anonymous pipes always wait; the guardian reads at once."""


def lock(fd: int) -> bool:
    """Take the file's lock until `fd` is closed; False when someone else has it."""
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def is_private(folder: str) -> bool:
    """Whether it is a folder: a user's profile is closed to others by its access list."""
    return os.path.isdir(folder)


def user_id() -> str:
    """What tells this user's folders from another's in a shared temporary folder."""
    return os.environ.get("USERNAME", "user")

"""What Linux and macOS do their own way: process groups, marks, file locks.

The guardian runs this too, so it must stay light: no `typing`, no `pathlib`, no `asyncio`.
"""

# Suppressed: no pathlib here, see above; the assertion tells mypy whose file this is.
# ruff: noqa: PTH112, PTH123, PTH208, S101, E402

from __future__ import annotations

import sys

assert sys.platform != "win32"

import fcntl
import os
import signal

# A session of its own is also a process group of its own. (uvloop rejects `process_group=`.)
NEW_SESSION = True
CREATION_FLAGS = 0
# Bytes of a UNIX socket's path; macOS takes 104, the ending NUL included.
SOCKET_PATH_LIMIT = 100


def terminate(group: int) -> None:
    """Ask every process of the group to end."""
    _signal_group(group, signal.SIGTERM)


def kill(group: int) -> None:
    """End every process of the group."""
    _signal_group(group, signal.SIGKILL)


def alive(group: int) -> bool:
    """Whether the group has a process that is not a zombie (macOS: any process)."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not os.path.isdir("/proc/self") or any(_is_member(pid, group) for pid in _processes())


def kill_marked(mark: bytes) -> list[int]:
    """End every process whose environment holds the entry `mark`, or one that begins with it; their ids.

    Finds descendants that left the group (daemons). `NAME=value` is an entry's beginning, `NAME=value\\0` a whole one. Where there
    is no /proc (macOS) it finds none, and only the group can be ended.
    """
    found = [pid for pid in _processes() if b"\0" + mark in b"\0" + _read(pid, "environ")]
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def is_running(pid: int) -> bool:
    """Whether a process that was found in /proc still holds anything: a zombie does not."""
    return _state_and_group(pid)[0] not in b"ZX"


def spawn(argv: tuple[str, ...], env: dict[str, str]) -> int:
    """Launch a program that nobody waits for, in its own group; its pid. Raises OSError."""
    nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    return os.posix_spawnp(argv[0], argv, env, file_actions=nothing, setpgroup=0)


def ignore_signals() -> None:
    """Stay through what is sent to a whole terminal or service at once."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def never_block(pipe: int) -> None:
    """Make writing to a full pipe fail instead of wait."""
    os.set_blocking(pipe, False)


def lock(fd: int) -> bool:
    """Take the file's lock until `fd` is closed; False when someone else has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_private(folder: str) -> bool:
    """Whether the folder is a real one, ours, and closed to everybody else."""
    facts = os.lstat(folder)
    return facts.st_mode & 0o170077 == 0o040000 and facts.st_uid == os.getuid()


def user_id() -> str:
    """What tells this user's folders from another's in a shared temporary folder."""
    return str(os.getuid())


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone; macOS answers EPERM for zombies
        return


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []


def _is_member(pid: int, group: int) -> bool:
    state, its_group = _state_and_group(pid)
    return state not in b"ZX" and its_group == b"%d" % group


def _state_and_group(pid: int) -> tuple[bytes, bytes]:
    """From `/proc/PID/stat` (proc(5)): after the name in parentheses come state, parent, group. `X` when there is none."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return (fields[0], fields[2]) if len(fields) > 2 else (b"X", b"")


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:  # it ended meanwhile, or belongs to someone else
        return b""

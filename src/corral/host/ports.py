"""Ports and private sockets for engines.

1. Only ports that corral hands out are looked at: a fixed port in a command is its owner's business.
2. A port that is handed out is free at that moment (an orphan that still answers on it is never taken for the engine), and
   locked by a file in the user's runtime folder, so that two corrals never hand out the same. The lock goes with the process that
   holds it. The files stay: removing one that someone just opened would make two locks of one name.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from corral.errors import LoadFailed
from corral.host import system

_LAST = 65535
_numbers = itertools.count(1)
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
# A port is free again right after its last owner died, while connections are still in TIME_WAIT; Windows' SO_REUSEADDR would
# find every port free.
_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
# All four: Linux refuses the wildcard when one address is taken, macOS does not.
_PROBES = (
    (socket.AF_INET, "0.0.0.0"),  # bound for a moment, never listened on
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::"),
    (socket.AF_INET6, "::1"),
)


@contextmanager
def held_port(assigned: int, folder: Path) -> Iterator[int]:
    """Hold the assigned port, or the next one that is free, until the block ends.

    Lock files live in `folder`. Raises LoadFailed when there is none up to 65535.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for port in range(assigned, _LAST + 1):
        lock = _locked(folder / f"{port}.lock")
        if lock is None:
            continue
        try:
            if is_free(port):
                yield port
                return
        finally:
            os.close(lock)
    raise LoadFailed(f"no free port from {assigned} to {_LAST}; set `startPort` to a lower number")


@contextmanager
def held_socket(folder: Path) -> Iterator[Path]:
    """A private path for a UNIX socket in `folder` that nobody else uses; whatever lies there is removed with the block."""
    path = folder / f"{next(_numbers)}.sock"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def socket_folder(runtime: Path) -> Iterator[Path]:
    """A new private folder for sockets, with room for a name within the limit that the system has for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir=runtime))
    if len(os.fsencode(folder)) + len("/1000000.sock") > system.SOCKET_PATH_LIMIT:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="corral-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port, on every local address."""
    return all(_can_bind(family, address, port) for family, address in _PROBES)


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # no IPv6 here
        return True
    with closing(probe):
        probe.setsockopt(socket.SOL_SOCKET, _OPTION, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno in _NO_SUCH_ADDRESS
    return True


def _locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock, None when another corral (or another model) has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if system.lock(fd):
        return fd
    os.close(fd)
    return None

"""How the engine ends: by a signal, or with its parent.

1. While a model loads, the wheel holds the interpreter's lock and no Python code can run: signals keep the system's default,
   which ends the process at once. (As the first process of a container there is no such default; a signal then waits for
   the load, so run it under an init.)
2. Afterwards SIGTERM and SIGINT end it cleanly within milliseconds, however busy it is: llama.cpp's own way down would first
   wait for every open connection.
3. On Linux the kernel tells us when the thread that started us ends. That is not yet our parent's end, so we look.
   Elsewhere we look every half second.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_HANGUP = getattr(signal, "SIGHUP", None)
_STOPS = frozenset((signal.SIGTERM, signal.SIGINT))
_LOOK_SECONDS = 0.5


def hold() -> int:
    """Take the system's defaults for signals, ask to be told of the parent's end; return the parent's pid."""
    parent = os.getppid()
    for number in (*_STOPS, *filter(None, (_HANGUP,))):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        _ask_the_kernel()
    return parent


def _ask_the_kernel() -> None:
    """Have SIGHUP sent to us when our parent ends (prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes  # noqa: PLC0415 - 2 ms that only Linux pays

    ctypes.CDLL(None).prctl(1, _HANGUP)


def catch() -> socket.socket:
    """From now on signals end the process cleanly; return where they arrive.

    A signal may be delivered to any thread, and llama.cpp has many; this reaches the sleeper from all of them.
    """
    import socket  # noqa: PLC0415 - the server answers already

    awake, bell = socket.socketpair()
    bell.setblocking(False)
    signal.set_wakeup_fd(bell.detach(), warn_on_full_buffer=False)
    for number in (*_STOPS, *filter(None, (_HANGUP,))):
        signal.signal(number, lambda *_: None)
    return awake


def wait(parent: int, awake: socket.socket) -> str:
    """Sleep until there is a reason to end, and return it."""
    import select  # noqa: PLC0415 - the server answers already

    timeout = None if sys.platform == "linux" else _LOOK_SECONDS
    while os.getppid() == parent:
        ready, _, _ = select.select([awake], [], [], timeout)
        for number in awake.recv(64) if ready else b"":
            if number in _STOPS:
                return signal.Signals(number).name
    return "its parent is gone"

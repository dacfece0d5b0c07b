"""This operating system under one name: `posix.py` or `windows.py`, which offer the same."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from corral.host.windows import (
        CREATION_FLAGS,
        NEW_SESSION,
        SOCKET_PATH_LIMIT,
        alive,
        ignore_signals,
        is_private,
        is_running,
        kill,
        kill_marked,
        lock,
        never_block,
        spawn,
        terminate,
        user_id,
    )
else:
    from corral.host.posix import (
        CREATION_FLAGS,
        NEW_SESSION,
        SOCKET_PATH_LIMIT,
        alive,
        ignore_signals,
        is_private,
        is_running,
        kill,
        kill_marked,
        lock,
        never_block,
        spawn,
        terminate,
        user_id,
    )

__all__ = [
    "CREATION_FLAGS",
    "NEW_SESSION",
    "SOCKET_PATH_LIMIT",
    "alive",
    "ignore_signals",
    "is_private",
    "is_running",
    "kill",
    "kill_marked",
    "lock",
    "never_block",
    "spawn",
    "terminate",
    "user_id",
]

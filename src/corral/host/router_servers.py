"""The servers that a router has launched, seen from outside: by its process tree and the port that each was given."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import psutil


def end_server(router: int, port: str) -> bool:
    """Kill the one that listens on `port`, below the process `router`; whether there was one."""
    found = False
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(router).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if ("--port", port) in pairwise(child.cmdline()):
                    child.kill()
                    found = True
    return found

"""What the processes of a group hold: an engine may be a shell, a launcher and a dozen workers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Mapping

import psutil

if sys.platform == "win32":

    def members(leaders: Collection[int]) -> dict[int, int]:
        """Every process below these, with the leader; there are no process groups."""
        return dict(_descendants(leaders))

    def _descendants(leaders: Collection[int]) -> Iterator[tuple[int, int]]:
        for leader in leaders:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(leader)
                for member in (process, *process.children(recursive=True)):
                    yield member.pid, leader

else:

    def members(leaders: Collection[int]) -> dict[int, int]:
        """Every process of these groups, with its group's leader. A leader that is gone has none."""
        return dict(_in_groups(leaders))

    def _in_groups(leaders: Collection[int]) -> Iterator[tuple[int, int]]:
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                group = os.getpgid(pid)
                if group in leaders:
                    yield pid, group


def resident(found: Mapping[int, int]) -> dict[int, int]:
    """Bytes in main memory by leader. Pages that several processes share are counted for each."""
    held: dict[int, int] = {}
    for pid, leader in found.items():
        with contextlib.suppress(psutil.Error):
            rss = psutil.Process(pid).memory_info().rss
            held[leader] = held.get(leader, 0) + rss
    return held

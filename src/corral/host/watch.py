"""Notices that files have changed, by looking at them every so often: that works in containers, on network folders and through links.

1. What is there when the watch is made is no change. Make it before the files are read: what is edited meanwhile is seen then.
2. A file that is gone, or empty, is one that is being replaced: nothing is told before it is back. The same for a folder without files.
3. Nothing is told while they are still changing from one look to the next, for a while: half a file is of no use to anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path

PERIOD = 1.0
"""Seconds between looks."""
SETTLE = 0.1
"""Seconds between two looks that have to see the same."""
PATIENCE = 20
"""Looks at files that never stop changing."""

Look = Callable[[], Hashable | None]
"""What distinguishes a thing from what it was before; None: it is not there."""


def file(path: Path) -> Look:
    """A file, or what a link leads to: another file of that name is another one, whatever its times."""
    return partial(_file, path)


def folder(path: Path, suffixes: Sequence[str], *, contents: bool = True) -> Look:
    """The files at the top of a folder that end in one of `suffixes`; without `contents` those one level deeper as well, by name only."""
    return partial(_contents if contents else _names, path, tuple(suffixes))


class Watch:
    """`async for _ in watch`: once for every change of any of `looks`, as long as it is waited for. Periods are seconds."""

    def __init__(
        self, looks: Iterable[Look], *, period: float = PERIOD, settle: float = SETTLE
    ) -> None:
        self._looks = tuple(looks)
        self._period = period
        self._settle = settle
        self._seen = [look() for look in self._looks]

    def __repr__(self) -> str:
        return f"<Watch of {len(self._looks)}, every {self._period:g} s>"

    async def __aiter__(self) -> AsyncIterator[None]:
        while True:
            await asyncio.sleep(self._period)
            if await self._has_changed():
                yield

    async def _has_changed(self) -> bool:
        before, now = self._seen, await self._look()
        for _ in range(PATIENCE):
            if now == before:
                break
            await asyncio.sleep(self._settle)
            before, now = now, await self._look()
        changed, self._seen = now != self._seen, now
        return changed

    async def _look(self) -> list[Hashable | None]:
        """In a thread: a network folder may take its time. What is not there now is as it was."""
        found = await asyncio.to_thread(lambda: [look() for look in self._looks])
        return [
            before if now is None else now for now, before in zip(found, self._seen, strict=True)
        ]


def _file(path: Path) -> Hashable | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    stamp = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return stamp if seen.st_size else None


def _contents(path: Path, suffixes: tuple[str, ...]) -> Hashable | None:
    files = ((name, _file(path / name)) for name in _listed(path) if name.endswith(suffixes))
    return frozenset(entry for entry in files if entry[1] is not None) or None


def _names(path: Path, suffixes: tuple[str, ...]) -> Hashable | None:
    inside = (f"{top}/{name}" for top in _listed(path) for name in _listed(path / top))
    names = [*_listed(path), *inside]
    return frozenset(name for name in names if name.lower().endswith(suffixes)) or None


def _listed(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.iterdir()]
    except OSError:
        return []

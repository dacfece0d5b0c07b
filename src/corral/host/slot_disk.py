"""The disk's side of `slot_files.py`: everything here runs in its thread, and may raise OSError.

1. A file gets its name when it is complete; the name tells its size and its time. One that is not what its name says is never used:
   llama-server aborts on a file that was cut off, and takes one with wrong numbers in it for good.
2. All folders and files are private. What is too much for the quota goes, the ones used longest ago first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from corral.host import system

TRIALS: Final = 2
"""Restored files that were of no use, and none that was, after which a place is given up."""

_ABOUT = "about.json"
_LOCK = "lock"
_NAME = re.compile(
    r"corral-[0-9a-f]{16}-(?P<session>[0-9a-f]{32})-(?P<mark>[0-9a-f]{8})-(?P<size>\d+)-(?P<written>\d+)\.kv"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model, as it was launched once, saves its slots. Another `identity` never sees its files."""

    model: str
    identity: str
    folder: Path


@dataclass(frozen=True, slots=True)
class SlotFile:
    """One saved slot. `session` and `mark` are hashes; `written` and `used` epoch nanoseconds."""

    place: Place
    session: str
    mark: str
    size: int
    written: int
    used: int

    @property
    def draft(self) -> str:
        """Its name while it is being written."""
        return f"corral-{self.place.identity}-{self.session}-{self.mark}.new"

    @property
    def name(self) -> str:
        return f"{self.draft.removesuffix('.new')}-{self.size}-{self.written}.kv"

    @property
    def path(self) -> Path:
        return self.place.folder / self.name

    @property
    def key(self) -> tuple[str, str]:
        """There is one file of a session in a place."""
        return self.place.identity, self.session


@dataclass(frozen=True, slots=True)
class Trials:
    """What came of the files that were restored in one place."""

    helped: int = 0
    failed: int = 0

    @property
    def hopeless(self) -> bool:
        return self.failed >= TRIALS and not self.helped


class SlotDisk:
    """The files under `root`, and those in folders that commands name. `files` and `trials` may be read from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[tuple[str, str], SlotFile] = {}
        """By their keys. Replaced, never changed."""
        self.trials: dict[str, Trials] = {}
        """By identity."""
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<SlotDisk {self.root}: {len(self.files)} files>"

    def scan(self, models: Iterable[str]) -> bool:
        """See what there is, and remove what is not complete or is of other models. False when another corral has it all."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        if not self._is_ours():
            return False
        for home in list(self._homes()):
            self._scan_home(home, frozenset(models))
        return True

    def release(self) -> None:
        """Another corral may have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, place: Place) -> bool:
        """Its model is about to be launched, so nothing of it is being written. False when its folder cannot be written to."""
        (self.root / place.identity).mkdir(mode=0o700, exist_ok=True)
        self._clear_up(place)
        self.files = {key: one for key, one in self.files.items() if key[0] != place.identity}
        self._scan_place(place)
        self.write_about(place)
        return os.access(place.folder, os.W_OK | os.X_OK)

    def touch(self, file: SlotFile) -> bool:
        """It is about to be used. False, and it is gone, when it is not what was saved."""
        if not _is_what_it_says(file):
            self.remove([file])
            return False
        now = time.time_ns()
        os.utime(file.path, ns=(now, file.written))
        self._add(replace(file, used=now))
        return True

    def keep(self, file: SlotFile) -> int:
        """Its draft is complete; returns its bytes. Its time is yet to be known."""
        draft = file.place.folder / file.draft
        facts = draft.stat()
        if facts.st_size != file.size:
            draft.unlink()
            raise OSError(f"{draft}: {facts.st_size} bytes of {file.size} were written")
        draft.chmod(0o600)
        file = replace(file, written=facts.st_mtime_ns)
        # Should the machine fail now, a shorter file has this name, which it tells: no need to wait for the disk.
        draft.replace(file.path)
        before = self.files.get(file.key)
        self._add(file)
        if before and before.name != file.name:
            before.path.unlink(missing_ok=True)
        return file.size

    def tidy(self, quota: int, ttl: float) -> None:
        """Remove what was used more than `ttl` seconds ago (0: nothing is too old), and what is above `quota` bytes."""
        oldest = time.time_ns() - int(ttl * 1e9) if ttl else 0
        gone = []
        for file in sorted(self.files.values(), key=lambda one: one.used, reverse=True):
            if file.size > quota or file.used < oldest:
                gone.append(file)
            else:
                quota -= file.size
        self.remove(gone)

    def forget(self, session: str) -> None:
        self.remove([file for file in self.files.values() if file.session == session])

    def remove(self, files: Iterable[SlotFile]) -> None:
        for file in files:
            if (now := self.files.get(file.key)) and now.name == file.name:
                self.files = {key: one for key, one in self.files.items() if key != file.key}
            file.path.unlink(missing_ok=True)

    def write_about(self, place: Place) -> None:
        """What the place is, and what is known of it."""
        trials = self.trials.get(place.identity, Trials())
        text = json.dumps(
            {
                "model": place.model,
                "folder": str(place.folder),
                "helped": trials.helped,
                "failed": trials.failed,
            }
        )
        about = self.root / place.identity / _ABOUT
        draft = about.with_suffix(".new")
        draft.write_text(text, "utf-8")
        draft.replace(about)

    def _is_ours(self) -> bool:
        if self._lock is None:
            lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            if not system.lock(lock):
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _add(self, file: SlotFile) -> None:
        self.files = {**self.files, file.key: file}

    def _homes(self) -> Iterator[Path]:
        return (entry for entry in self.root.iterdir() if entry.is_dir())

    def _scan_home(self, home: Path, models: frozenset[str]) -> None:
        about = _about(home)
        if about is None:
            shutil.rmtree(home, ignore_errors=True)
            return
        place, self.trials[home.name] = about
        self._scan_place(place)
        if place.model not in models:
            self.remove([file for file in self.files.values() if file.place == place])
            shutil.rmtree(home, ignore_errors=True)

    def _scan_place(self, place: Place) -> None:
        for path in sorted(place.folder.glob(f"corral-{place.identity}-*")):
            file = _read_name(place, path)
            if file is None or file.key in self.files:
                path.unlink(missing_ok=True)
            else:
                self._add(file)

    def _clear_up(self, place: Place) -> None:
        """The model's other places of which nothing is to be had or to be known: commands are edited many times."""
        used = {file.place.identity for file in self.files.values()} | {place.identity}
        for home in list(self._homes()):
            about = None if home.name in used else _about(home)
            if about and about[0].model == place.model and about[1] == Trials():
                shutil.rmtree(home, ignore_errors=True)


def _read_name(place: Place, path: Path) -> SlotFile | None:
    """None when it is not what its name says."""
    said = _NAME.fullmatch(path.name)
    if said is None:
        return None
    used = path.stat().st_atime_ns
    size, written = int(said["size"]), int(said["written"])
    file = SlotFile(place, said["session"], said["mark"], size, written, used)
    return file if _is_what_it_says(file) else None


def _is_what_it_says(file: SlotFile) -> bool:
    try:
        facts = file.path.stat()
    except FileNotFoundError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (file.size, file.written)


def _about(home: Path) -> tuple[Place, Trials] | None:
    try:
        said: dict[str, Any] = json.loads((home / _ABOUT).read_text("utf-8"))
        place = Place(str(said["model"]), home.name, Path(said["folder"]))
        return place, Trials(int(said["helped"]), int(said["failed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""The files that llama-server's slots are saved in: what a model has read of a conversation.

1. Only a thread touches the disk (`slot_disk.py`); who asks waits a bounded time, and nothing here raises.
2. Without a folder for corral's state nothing is saved; nor while another corral with the same configuration has the files.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from corral.config.model import Config
from corral.host.slot_disk import Place, SlotDisk, SlotFile, Trials
from corral.host.worker import Worker

FOLDER: Final = "slots"
"""In the folder for corral's state."""
WITHIN: Final = 5.0
"""Seconds that anybody waits for the disk."""

log = logging.getLogger("corral.parking")

T = TypeVar("T")


class SlotFiles:
    """A scope. `folder` is the one for corral's state. Fits `gateway.parking.Files`."""

    def __init__(self, folder: Path | None, config: Config) -> None:
        self._disk = SlotDisk(folder / FOLDER) if folder else None
        self._worker = Worker("slot files")
        self._mine = False
        self._places: dict[str, Place] = {}
        self._loop: asyncio.AbstractEventLoop
        self._read(config)

    def __repr__(self) -> str:
        return f"<SlotFiles {'on' if self.enabled else 'off'}: {self._disk}>"

    def _read(self, config: Config) -> None:
        self._wanted = config.sessions.park_kv == "auto"
        self._quota = config.sessions.park_quota if self._wanted else 0
        self._ttl = config.sessions.ttl
        self._models = frozenset(config.models)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._disk is None:
            if self._wanted:
                log.warning("without a folder for corral's state nothing is parked")
        elif self._wanted or self._disk.root.exists():
            await self._asked(partial(self._take, self._disk), None)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._disk:
            await self._asked(self._disk.release, None)
        self._mine = False
        self._worker.close()

    def adopt(self, config: Config) -> None:
        """From now on this configuration holds."""
        self._read(config)
        if self.enabled:
            self._told(self._tidy)
        elif self._wanted and self._disk:
            self._told(partial(self._take, self._disk))

    @property
    def enabled(self) -> bool:
        """Slots are to be saved, and there is a place for them."""
        return self._wanted and self._mine

    # --- for launches ------------------------------------------------------------------------------------------------

    async def identified(self, identity: Callable[[], str]) -> str:
        """What `identity` finds out on the disk; empty when it is not to be had in time."""
        return await self._asked(identity, "")

    def own_folder(self, identity: str) -> Path:
        """Corral's own folder for a place. While `enabled`."""
        return self._at_hand.root / identity

    async def opened(self, place: Place) -> bool:
        """The place's model is about to be launched. False when nothing can be saved there."""
        return await self._asked(partial(self._at_hand.open, place), default=False)

    def use(self, model: str, place: Place | None) -> None:
        """The process of `model` that is launched now saves its slots there; None: nowhere."""
        self._places.pop(model, None)
        if place is not None:
            self._places[model] = place

    # --- for turns ---------------------------------------------------------------------------------------------------

    def place(self, model: str) -> Place | None:
        """Where its process saves; None when it does not, or when that has turned out to be of no use."""
        place = self._places.get(model) if self.enabled else None
        return None if place is None or self._tried(place).hopeless else place

    def find(self, place: Place, session_id: str, mark: str) -> SlotFile | None:
        """What was saved of the session there, by a process with the same mark."""
        file = self._at_hand.files.get((place.identity, _hashed(session_id)))
        return file if file and file.mark == _hashed(mark)[:8] else None

    async def usable(self, file: SlotFile) -> bool:
        """Whether it still is what was saved. It counts as used now."""
        usable = await self._asked(partial(self._at_hand.touch, file), default=False)
        if not usable:
            log.warning("%s: a parked file has changed, and is not used", file.place.model)
        return usable

    def draft(self, place: Place, session_id: str, mark: str) -> str:
        """The name to save under."""
        return _unwritten(place, session_id, mark).draft

    async def keep(self, place: Place, session_id: str, mark: str, size: int) -> int:
        """What was saved under the draft's name is complete: `size` bytes. Those that are kept."""
        file = replace(_unwritten(place, session_id, mark), size=size)
        return await self._asked(partial(self._keep, file), 0)

    def discard(self, place: Place, session_id: str, mark: str) -> None:
        """Nothing comes of the draft."""
        draft = place.folder / self.draft(place, session_id, mark)
        self._told(partial(draft.unlink, missing_ok=True))

    def drop(self, file: SlotFile) -> None:
        """It is of no use."""
        self._told(partial(self._at_hand.remove, [file]))

    def forget(self, session_id: str) -> None:
        """The session is no more."""
        if self._mine:
            self._told(partial(self._at_hand.forget, _hashed(session_id)))

    def parked(self, session_id: str) -> dict[str, int]:
        """Bytes of the session, by model."""
        session = _hashed(session_id)
        return self._sizes(lambda file: file.session == session)

    def sizes(self) -> dict[str, int]:
        """Bytes of all sessions, by model."""
        return self._sizes(lambda _: True)

    def tried(self, place: Place, *, helped: bool) -> None:
        """A restored file was of use, or was not."""
        before = self._tried(place)
        now = replace(before, helped=before.helped + helped, failed=before.failed + (not helped))
        self._at_hand.trials[place.identity] = now
        if now.hopeless:
            log.warning(
                "%s: what is restored is of no use to it; it is parked no more", place.model
            )
        if not before.helped:  # after that nothing changes that decides
            self._told(partial(self._at_hand.write_about, place))

    # ---------------------------------------------------------------------------------------------------------------------

    @property
    def _at_hand(self) -> SlotDisk:
        assert self._disk is not None  # noqa: S101 (who asks has a place, or knows that it is enabled)
        return self._disk

    def _tried(self, place: Place) -> Trials:
        return self._at_hand.trials.get(place.identity, Trials())

    def _sizes(self, wanted: Callable[[SlotFile], bool]) -> dict[str, int]:
        sizes: Counter[str] = Counter()
        for file in self._disk.files.values() if self._disk else ():
            if wanted(file):
                sizes[file.place.model] += file.size
        return dict(sizes)

    def _take(self, disk: SlotDisk) -> None:
        if disk.scan(self._models):
            self._tidy()
            self._mine = True
        elif self._wanted:
            self._say("another corral has the files in %s: nothing is parked", disk.root)

    def _tidy(self) -> None:
        self._at_hand.tidy(self._quota, self._ttl)

    def _keep(self, file: SlotFile) -> int:
        size = self._at_hand.keep(file)
        self._tidy()
        return size if file.key in self._at_hand.files else 0

    async def _asked(self, job: Callable[[], T], default: T) -> T:
        try:
            return await self._worker.ask(job, WITHIN)
        except TimeoutError:
            log.warning("parked files: the disk does not answer; going on without them")
        except OSError as error:
            log.warning("parked files: %s", error)
        return default

    def _told(self, job: Callable[[], object]) -> None:
        def heard(answer: Future[object]) -> None:
            if error := answer.exception():
                self._say("parked files: %s", error)

        self._worker.tell(job).add_done_callback(heard)

    def _say(self, message: str, *about: object) -> None:
        """In the loop's thread: whoever follows the log is there."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody listens any more
            self._loop.call_soon_threadsafe(partial(log.warning, message, *about))


def _unwritten(place: Place, session_id: str, mark: str) -> SlotFile:
    return SlotFile(place, _hashed(session_id), _hashed(mark)[:8], 0, 0, time.time_ns())


def _hashed(text: str) -> str:
    """Ids may be any text, names of files may not."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

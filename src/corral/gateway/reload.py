"""Another configuration while corral runs: read it, see what it changes, and have that happen.

1. A configuration with a mistake changes nothing, and every mistake is told: to who asked, in the log, to the listeners.
2. One reload at a time. Who asks while one runs gets one more, which begins when that has ended, so that no edit is lost; all who ask
   meanwhile share it.
3. What is new comes into force in one step of the loop: no request sees half of it.
4. Models that are now to be loaded at start are loaded after that, as at start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from corral.config.changes import Changes, changes
from corral.config.command import LaunchSpec, launch_specs
from corral.config.model import Config
from corral.errors import CorralError, ShuttingDown
from corral.gateway.engine import Engine
from corral.gateway.inforce import InForce
from corral.gateway.learning import recall
from corral.gateway.ports import LoadTimes
from corral.scheduler.events import Reloaded
from corral.scheduler.rules import reloaded

log = logging.getLogger("corral")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a reload: an `error` and no changes, or none."""

    changes: Changes
    error: CorralError | None = None


Listener = Callable[[Report], None]
"""Who wants to know of every reload, after it. Must not block."""


class _Read(NamedTuple):
    config: Config
    specs: dict[str, LaunchSpec]
    changes: Changes
    fact: Reloaded


class Reloader:
    """Replaces the configuration in force by what `read` returns. `read` reads the files again, in a thread; it raises ConfigError."""

    def __init__(
        self, inforce: InForce, engine: Engine, times: LoadTimes, read: Callable[[], Config]
    ) -> None:
        self._inforce = inforce
        self._engine = engine
        self._times = times
        self._read = read
        self._running: asyncio.Task[Report] | None = None
        self._next: asyncio.Task[Report] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.listeners: list[Listener] = []

    async def reload(self) -> Changes:
        """Read the files again and take over what they say; what that changed. Raises ConfigError, and nothing has changed then."""
        asked = self._asked()
        await asyncio.wait([asked])  # whoever else asked still waits for it when this one leaves
        if asked.cancelled():
            raise _shutting_down()
        report = asked.result()
        if report.error is not None:
            raise report.error
        return report.changes

    def trigger(self) -> None:
        """The same, without waiting for it."""
        if not self._closed:
            self._asked()

    def preload(self, models: Iterable[str]) -> None:
        """Load these models one after the other, without waiting for it."""
        if wanted := list(models):
            self._spawn(_preload(self._engine, wanted), "preload")

    async def aclose(self) -> None:
        """From now on nothing is reloaded or preloaded."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- one after the other -----------------------------------------------------------------------------------------

    def _asked(self) -> asyncio.Task[Report]:
        """The next reload that begins."""
        if self._closed:
            raise _shutting_down()
        if self._next is None:
            self._next = self._spawn(self._turn(self._running), "reload")
        return self._next

    async def _turn(self, before: asyncio.Task[Report] | None) -> Report:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        report = await self._reloaded()
        for listener in self.listeners:
            try:
                listener(report)
            except Exception:
                log.exception("a reload could not be passed on")
        return report

    def _spawn(self, work: Coroutine[None, None, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- one of them -------------------------------------------------------------------------------------------------

    async def _reloaded(self) -> Report:
        try:
            read = await asyncio.to_thread(self._compared, self._inforce.config)
            self._take_over(read)
            await recall(self._engine, self._times, {*read.changes.added, *read.changes.restarted})
        except CorralError as error:
            log.error("not reloaded, everything stays as it was:\n%s", error.message)  # noqa: TRY400 - no traceback: it is for who edits
            return Report(Changes(), error)
        except Exception:
            log.exception("not reloaded")
            return Report(Changes(), CorralError("corral failed to reload; its log has the reason"))
        self.preload(read.changes.preload)
        return Report(read.changes)

    def _compared(self, old: Config) -> _Read:
        """All the work there is, off the loop."""
        config = self._read()
        specs = launch_specs(config)
        done = changes(old, config, launch_specs(old), specs)
        return _Read(config, specs, done, reloaded(config, done))

    def _take_over(self, read: _Read) -> None:
        """The scheduler and the processes first: who watches the configuration asks them about its models."""
        known = self._inforce.config.notes
        self._times.adopt(read.specs)
        self._engine.adopt(read.specs, read.fact)
        self._inforce.adopt(read.config)
        log.info("reloaded: %s", summary(read.changes))
        for note in (*read.changes.notes, *(n for n in read.config.notes if n not in known)):
            log.warning("%s", note)


async def _preload(engine: Engine, models: Iterable[str]) -> None:
    for model in models:
        try:
            await engine.load(model)
        except CorralError as error:
            log.warning("preloading %s: %s", model, error.message)


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("corral is shutting down")


def summary(done: Changes) -> str:
    """What changed, in a line: `added b; restarted when used next a; settings groups`."""
    parts = {
        "added": done.added,
        "removed": done.removed,
        "restarted when used next": done.restarted,
        "updated": done.updated,
        "settings": done.settings,
    }
    said = [f"{what} {', '.join(names)}" for what, names in parts.items() if names]
    return "; ".join(said) or "nothing has changed"

"""One switch: what has happened so far, and what is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from corral.errors import CorralError
from corral.gateway.settling import Meter, Reading


@dataclass(frozen=True, slots=True)
class Report:
    """What a switch did. Seconds; `drain` has the wait for room and the check, `settled` is None where there was nothing to wait for."""

    previous: str | None
    model: str
    elapsed: float
    drain: float
    unload: float
    settle: float
    load: float
    settled: bool | None
    memory: tuple[Reading, Reading, Reading, Reading]
    """Before and after the unload, after settling, after the load."""

    def __str__(self) -> str:
        phases = "drain {:.3f}, unload {:.3f}, settle {:.3f}, load {:.3f}"
        told = phases.format(self.drain, self.unload, self.settle, self.load)
        return f"{self.model} is active after {self.elapsed:.3f} s ({told})"


@dataclass(frozen=True, slots=True)
class Told:
    """A switch began (neither `seconds` nor `error`), was made, or failed."""

    model: str
    previous: str | None
    seconds: float | None = None
    error: CorralError | None = None


class Run:
    """One switch, when its turn has come: what has happened so far. Times are on the engine's clock."""

    def __init__(self, model: str, meter: Meter) -> None:
        self.model = model
        self.meter = meter
        self.previous: str | None = None
        self.committed = False
        """It is not called off any more."""
        self.began = 0.0
        self.stopped_at: float | None = None
        self.started_at: float | None = None
        self.launched_at: float | None = None
        self.ready_at: float | None = None
        self.unloaded: list[str] = []
        self.held = 0
        self.settled: bool | None = None
        self.readings: list[Reading | None] = [None] * 4
        self.measuring: asyncio.Task[None] | None = None
        self.patience: asyncio.Timeout | None = None
        """The wait for the model."""

    def __repr__(self) -> str:
        return f"<Run to {self.model}{', committed' if self.committed else ''}>"

    def commit(self) -> None:
        self.committed = True
        if self.patience and not self.patience.expired():
            self.patience.reschedule(None)

    def enough(self) -> None:
        """End the wait: the model is ready, though others are served first."""
        if self.patience and not self.patience.expired():
            self.patience.reschedule(asyncio.get_running_loop().time())

    def report(self, now: float) -> Report:
        """Of a switch that was made, `now` being after the last reading."""
        ready = now if self.ready_at is None else self.ready_at
        started = ready if self.started_at is None else self.started_at
        stopped = started if self.stopped_at is None else self.stopped_at
        launched = started if self.launched_at is None else self.launched_at
        return Report(
            self.previous,
            self.model,
            now - self.began,
            max(0.0, stopped - self.began),
            max(0.0, started - stopped),
            max(0.0, launched - started),
            max(0.0, ready - launched),
            self.settled,
            self._memory(),
        )

    def _memory(self) -> tuple[Reading, Reading, Reading, Reading]:
        """What was not read is as it was before, or after: nothing had changed."""
        last = next((reading for reading in self.readings if reading), Reading())
        filled = []
        for reading in self.readings:
            last = reading or last
            filled.append(last)
        before, unloaded, settled, loaded = filled
        return before, unloaded, settled, loaded

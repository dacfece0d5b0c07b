"""What every model did, and how many waited, over time: what a picture is drawn from."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from enum import IntEnum

from corral.scheduler.machine import Machine, State


class Doing(IntEnum):
    """What a model does, as one sees it."""

    UNLOADED = 0
    LOADING = 1
    SERVING = 2
    IDLE = 3
    DRAINING = 4
    UNLOADING = 5


_STATES = {
    State.UNLOADED: Doing.UNLOADED,
    State.LOADING: Doing.LOADING,
    State.DRAINING: Doing.DRAINING,
    State.UNLOADING: Doing.UNLOADING,
}


class Lane:
    """One model: from `times[n]` until `times[n + 1]` it did `doings[n]`; it begins unloaded."""

    def __init__(self) -> None:
        self.times = array("d", [0.0])
        self.doings = bytearray([Doing.UNLOADED])

    def note(self, doing: Doing, now: float) -> None:
        """From `now` on it does `doing`."""
        if self.doings[-1] == doing:
            return
        if self.times[-1] == now:  # it did that for no time at all
            self.doings[-1] = doing
        else:
            self.times.append(now)
            self.doings.append(doing)

    def up(self, ends: float) -> float:
        """Seconds until `ends` in which it had a process."""
        until = [*self.times[1:], ends]
        spans = zip(self.doings, self.times, until, strict=True)
        return sum(after - at for doing, at, after in spans if doing)

    def cells(self, ends: float, count: int) -> list[Doing]:
        """What it did in each of `count` equal parts of the time until `ends`: that which it did longest."""
        width = ends / count
        return [self._longest(width * n, width * (n + 1)) for n in range(count)]

    def _longest(self, begins: float, ends: float) -> Doing:
        spent = dict.fromkeys(Doing, 0.0)
        at = bisect_right(self.times, begins) - 1
        while at < len(self.times) and (at == 0 or self.times[at] < ends):
            until = self.times[at + 1] if at + 1 < len(self.times) else ends
            spent[Doing(self.doings[at])] += min(until, ends) - max(self.times[at], begins)
            at += 1
            if until >= ends:
                break
        return max(spent, key=spent.__getitem__)


class Timeline:
    """Lanes by model, in the order in which the models were first started, and how many requests waited."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.ends = 0.0
        self._times = array("d", [0.0])
        self._waiting = array("L", [0])
        self._up: set[str] = set()

    def look(self, machine: Machine, up: Iterable[str], now: float, waiting: int) -> None:
        """Note what has changed by `now`. `up` are the models that have a process."""
        self.ends = now
        for model in up:
            lane = self.lanes.setdefault(model, Lane())
            lane.note(_doing(machine, model), now)
        present = set(up)
        for model in self._up - present:
            self.lanes[model].note(Doing.UNLOADED, now)
        self._up = present
        if waiting != self._waiting[-1]:
            self._times.append(now)
            self._waiting.append(waiting)

    def waiting(self, count: int) -> list[int]:
        """The most that waited in each of `count` equal parts of the time."""
        width = self.ends / count
        most = []
        for n in range(count):
            first = bisect_right(self._times, width * n) - 1
            after = max(first + 1, bisect_left(self._times, width * (n + 1)))
            most.append(max(self._waiting[first:after]))
        return most


def _doing(machine: Machine, model: str) -> Doing:
    state = machine.state(model)
    if state is State.READY:
        return Doing.SERVING if machine.in_flight(model) else Doing.IDLE
    return _STATES[state]

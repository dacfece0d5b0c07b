"""Waiting lines: one per model. Joining and leaving cost the same however long the line is.

1. Within a line, callers take turns: each in its turn has its oldest request served, and then stands behind all others. With one
   caller, or without a limit on how many are served at once, that is the order of arrival.
2. Between lines, the oldest request of each decides: once it has waited `maxWait`, the older goes first, whatever the model; before
   that, priority and then age decide. (`fifo`: priority and then age, always.)
3. `queueTimeout` counts waiting for room. While the model itself loads, its line's clock stands still.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class QueueRules:
    """Seconds. `queue_timeout` and `max_queue` 0: no limit. ValueError for negative numbers."""

    use: Literal["fair", "fifo"] = "fair"
    priority: Mapping[str, int] = field(default_factory=dict)
    max_wait: float = 30.0
    queue_timeout: float = 600.0
    max_queue: int = 1000
    min_residency: float = 0.0
    """How long a model that became ready is not evicted for a request that has not waited `max_wait`; `fair` only."""

    def __post_init__(self) -> None:
        if min(self.max_wait, self.queue_timeout, self.max_queue, self.min_residency) < 0:
            raise ValueError(f"negative: {self}")

    def ages_at(self, waiter: Waiter) -> float:
        """When newcomers begin to queue behind `waiter`; under `fifo` infinity, but for one that is urgent."""
        if waiter.urgent:
            return waiter.arrived
        return waiter.arrived + self.max_wait if self.use == "fair" else math.inf


@dataclass(slots=True, eq=False)
class Waiter:
    """A request in a line. `number` grows with every arrival; `loading` is what its line's loading clock said then."""

    request: int
    number: int
    arrived: float
    loading: float
    caller: str = ""
    explicit: bool = False
    urgent: bool = False


class Line:
    """Who waits for one model."""

    __slots__ = ("_callers", "_waiters", "head", "oldest", "urgent")

    def __init__(self) -> None:
        # Not dicts: finding the first key after many were taken from the front gets slower and slower.
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        self._callers: OrderedDict[str, OrderedDict[int, Waiter]] = OrderedDict()
        """In turn. Nobody is here without a request."""
        self.head: Waiter | None = None
        """Who is served next."""
        self.oldest: Waiter | None = None
        self.urgent: Waiter | None = None
        """The oldest of those that are."""

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Oldest first."""
        return iter(self._waiters.values())

    @property
    def callers(self) -> int:
        return len(self._callers)

    def join(self, waiter: Waiter) -> None:
        self._waiters[waiter.request] = waiter
        if self.head is None:
            self.head = self.oldest = waiter
        if waiter.urgent and self.urgent is None:
            self.urgent = waiter
        own = self._callers.get(waiter.caller)
        if own is None:
            own = self._callers[waiter.caller] = OrderedDict()
        own[waiter.request] = waiter

    def leave(self, request: int) -> Waiter:
        """It waits no more, and was not served: its caller's turn is as near as before."""
        waiter = self._waiters.pop(request)
        own = self._callers[waiter.caller]
        del own[request]
        if not own:
            del self._callers[waiter.caller]
        self._look(waiter)
        return waiter

    def serve(self, request: int) -> Waiter:
        """It waits no more, for its caller had its turn."""
        waiter = self.leave(request)
        if waiter.caller in self._callers:
            self._callers.move_to_end(waiter.caller)
            self.head = _first(_first(self._callers))
        return waiter

    def ahead_of(self, request: int) -> int:
        """How many are served before `request`, which is in this line, as it stands now."""
        waiter = self._waiters[request]
        before = list(self._callers[waiter.caller]).index(request)
        ahead, rounds = 0, before + 1
        for caller, own in self._callers.items():
            if caller == waiter.caller:
                ahead, rounds = ahead + before, before
            else:
                ahead += min(len(own), rounds)
        return ahead

    def copy(self) -> Line:
        """Another line with the same waiters."""
        line = Line()
        line._waiters = self._waiters.copy()
        line._callers = OrderedDict((c, own.copy()) for c, own in self._callers.items())
        line.head, line.oldest, line.urgent = self.head, self.oldest, self.urgent
        return line

    def _look(self, gone: Waiter) -> None:
        if gone is self.oldest:
            self.oldest = _first(self._waiters) if self._waiters else None
        if gone is self.head:
            self.head = _first(_first(self._callers)) if self._callers else None
        if gone is self.urgent:
            self.urgent = next((waiter for waiter in self if waiter.urgent), None)


def _first(entries: OrderedDict[Any, Value]) -> Value:
    return next(iter(entries.values()))

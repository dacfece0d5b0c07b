"""When to look at which model again: one entry per model, no timer per request.

An entry is only ever moved forward. A look that comes too early finds nothing to do and books the next one, which is cheaper than
moving an entry back with every request that a busy model serves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Agenda:
    """Names and the times at which to look at them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._booked: dict[str, float] = {}

    def book(self, name: str, at: float) -> None:
        """Look at `name` at `at`, unless it is looked at earlier anyway."""
        booked = self._booked.get(name)
        if booked is None or at < booked:
            self._booked[name] = at
            heapq.heappush(self._heap, (at, name))

    def due(self, now: float) -> Iterator[str]:
        """The names whose time has come, each once; they are no longer booked."""
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            if self._booked.get(name) == at:
                del self._booked[name]
                yield name

    def forget(self, name: str) -> None:
        """It need not be looked at any more."""
        self._booked.pop(name, None)

    def copy(self) -> Agenda:
        agenda = Agenda()
        agenda._heap, agenda._booked = list(self._heap), dict(self._booked)
        return agenda

    @property
    def next(self) -> float | None:
        """The earliest time booked."""
        while self._heap and self._booked.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

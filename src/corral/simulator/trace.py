"""Who asks for which model, and when.

1. Times are seconds. A trace begins with its first arrival, at 0, whatever its clock said.
2. Requests are in the order of their arrival; those at one time in the order in which they were written.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

Row = tuple[float, str, str, float]
"""Arrival, model, caller, service seconds; the last is NaN when it is not said."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests by number, from 0. The columns are as long as there are requests; names are indexes into `models` and `callers`."""

    models: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    arrivals: array[float] = field(default_factory=lambda: array("d"))
    model: array[int] = field(default_factory=lambda: array("L"))
    caller: array[int] = field(default_factory=lambda: array("L"))
    service: array[float] = field(default_factory=lambda: array("d"))
    """NaN where the model's usual time is meant."""
    out_of_order: int = 0
    """How many came earlier than the one written before them."""

    def __len__(self) -> int:
        return len(self.arrivals)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Trace:
        """The trace of `rows`, whatever their order."""
        models: dict[str, int] = {}
        callers: dict[str, int] = {}
        arrivals, model, caller, service = array("d"), array("L"), array("L"), array("d")
        for arrival, name, who, seconds in rows:
            arrivals.append(arrival)
            model.append(models.setdefault(name, len(models)))
            caller.append(callers.setdefault(who, len(callers)))
            service.append(seconds)
        late = sum(after < before for before, after in pairwise(arrivals))
        if late:
            order = sorted(range(len(arrivals)), key=arrivals.__getitem__)
            arrivals, service = (array("d", map(a.__getitem__, order)) for a in (arrivals, service))
            model, caller = (array("L", map(a.__getitem__, order)) for a in (model, caller))
        begins = arrivals[0] if arrivals else 0.0
        since = array("d", (at - begins for at in arrivals))
        return cls(tuple(models), tuple(callers), since, model, caller, service, late)

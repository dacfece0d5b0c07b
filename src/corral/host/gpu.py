"""The graphics cards: whoever can tell about them is asked, the best first.

1. NVIDIA's are read through NVML where `nvidia-ml-py` is installed (the extra `gpu`), else with `nvidia-smi`; AMD's from `/sys`. A
   machine may have both.
2. A source that knows nothing here is asked again after `AGAIN` seconds: a driver may be loaded later.
3. What a card does not say is None, never a number that looks like an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

AGAIN = 60.0
"""Seconds."""


class Gpu(NamedTuple):
    """One card, now. Fits `gateway.ports.Gpu`."""

    id: int
    """Its place among this machine's, from 0."""
    name: str
    uuid: str = ""
    vendor: str = ""
    temperature: float | None = None
    """Degrees Celsius, as the next."""
    memory_temperature: float | None = None
    busy: float | None = None
    """Percent of the time since the driver last looked."""
    memory_used: int | None = None
    """Bytes, as the next."""
    memory_total: int | None = None
    fan: float | None = None
    """Percent of its highest speed."""
    power: float | None = None
    """Watts, as the next."""
    power_limit: float | None = None
    driver: str = ""
    """The version of its driver."""
    unified: bool = False
    """Its memory is the machine's own."""


class Source(Protocol):
    """Who can tell about cards. Each may raise `Unknown`, and may take as long as it takes."""

    def cards(self) -> Sequence[Gpu]: ...

    def processes(self) -> Sequence[tuple[int, int, int]]:
        """(a card's id, a process, bytes of that card that it holds)."""
        ...


class Unknown(Exception):  # noqa: N818 - says what is the case
    """This source knows nothing about this machine, or not now."""


class Cards:
    """All cards of this machine, from the first of each row of `rows` that knows any."""

    def __init__(
        self,
        rows: Sequence[Sequence[Callable[[], Source]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = [_Row(row, clock) for row in rows]

    def read(self) -> tuple[Gpu, ...]:
        """Every card, numbered through."""
        found = [card for row in self._rows for card in row.cards()]
        return tuple(card._replace(id=number) for number, card in enumerate(found))

    def processes(self) -> list[tuple[int, int, int]]:
        """(a card's id, a process, bytes of that card that it holds), as far as can be known."""
        held, before = [], 0
        for row in self._rows:
            held += [(before + card, pid, size) for card, pid, size in row.processes()]
            before += row.known
        return held


class _Row:
    """Sources for the same cards, of which the first that knows any is kept."""

    def __init__(self, sources: Sequence[Callable[[], Source]], clock: Callable[[], float]) -> None:
        self._sources = sources
        self._clock = clock
        self._source: Source | None = None
        self._look_at = -math.inf
        self.known = 0

    def cards(self) -> Sequence[Gpu]:
        found: Sequence[Gpu] = ()
        if self._source:
            found = _asked(self._source)
        if not found and self._clock() >= self._look_at:
            self._look_at = self._clock() + AGAIN
            found = self._looked()
        self.known = len(found)
        return found

    def processes(self) -> Sequence[tuple[int, int, int]]:
        if self._source is None:
            self.cards()
        try:
            return self._source.processes() if self._source else ()
        except Unknown:
            return ()

    def _looked(self) -> Sequence[Gpu]:
        self._source = None
        for make in self._sources:
            try:
                source = make()
            except Unknown:
                continue
            if found := _asked(source):
                self._source = source
                return found
        return ()


def _asked(source: Source) -> Sequence[Gpu]:
    try:
        return source.cards()
    except Unknown:
        return ()

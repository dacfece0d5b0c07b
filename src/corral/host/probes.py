"""What can be measured of this machine, asked from the event loop. Fits `gateway.ports.Probes`.

1. Nothing here holds up the loop: everything is read in a thread, the cards in one of their own, for drivers hang.
2. Everything comes within a bounded time. What did not come is left out; the log says so once, and once when it is there again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import NamedTuple, TypeVar

from corral.host import gpu, hardware, machine, process_memory
from corral.host.amd import Sysfs
from corral.host.gpu import Cards, Gpu
from corral.host.machine import Machine
from corral.host.nvidia import Nvml, Smi
from corral.host.worker import Worker

SAMPLE_LIMIT = 5.0
"""Seconds that a reading may take."""
MEMORY_LIMIT = 1.0
"""Seconds that the question may take who holds how much memory: somebody waits for the answer."""
HARDWARE_LIMIT = 10.0

SOURCES: tuple[tuple[Callable[[], gpu.Source], ...], ...] = ((Nvml, Smi), (Sysfs,))
"""Alternatives, for the cards of each maker."""

T = TypeVar("T")

log = logging.getLogger("corral.probes")


class Sample(NamedTuple):
    """`machine` is None when it could not be read."""

    machine: Machine | None
    cards: tuple[Gpu, ...]


class Held(NamedTuple):
    """What a process group holds: bytes, and bytes by card."""

    memory: int
    cards: dict[int, int]


class Probes:
    """The measuring instruments of this machine. `close` lets their threads end."""

    def __init__(self, cards: Cards | None = None) -> None:
        self._cards = cards or Cards(SOURCES)
        self._reader = machine.Reader()
        self._machine = Worker("probes: the machine")
        self._driver = Worker("probes: the graphics cards")
        self._silent: set[Worker] = set()

    def close(self) -> None:
        self._machine.close()
        self._driver.close()

    async def sample(self) -> Sample:
        """The load now: of the processor, since the last time this was asked."""
        read, cards = await asyncio.gather(
            self._ask(self._machine, self._reader.read, SAMPLE_LIMIT),
            self._ask(self._driver, self._cards.read, SAMPLE_LIMIT),
        )
        return Sample(read, cards or ())

    async def cards(self) -> tuple[Gpu, ...]:
        """The cards alone; none when they do not answer."""
        return await self._ask(self._driver, self._cards.read, SAMPLE_LIMIT) or ()

    async def memory(self, leaders: Collection[int]) -> dict[int, Held]:
        """What the process groups of these leaders hold; those that are gone are not in it."""
        found = await self._ask(self._machine, lambda: _resident(leaders), MEMORY_LIMIT)
        if not found:
            return {}
        groups, resident = found
        held = {leader: Held(size, {}) for leader, size in resident.items()}
        shares = await self._ask(self._driver, self._cards.processes, MEMORY_LIMIT)
        for card, pid, size in shares or ():
            if groups.get(pid) in held:
                of = held[groups[pid]].cards
                of[card] = of.get(card, 0) + size
        return held

    async def hardware(self) -> hardware.Facts | None:
        """What this machine is, without the cards when they do not answer; None when nothing can be said."""
        cards = await self._ask(self._driver, self._cards.read, HARDWARE_LIMIT)
        return await self._ask(
            self._machine, lambda: hardware.snapshot(cards or ()), HARDWARE_LIMIT
        )

    async def _ask(self, worker: Worker, job: Callable[[], T], within: float) -> T | None:
        try:
            answer = await worker.ask(job, within)
        except TimeoutError:
            self._note(worker, f"no answer within {within:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a driver does wrong, it costs a reading
            self._note(worker, repr(error))
        else:
            if worker in self._silent:
                self._silent.discard(worker)
                log.info("%r: answers again", worker)
            return answer
        return None

    def _note(self, worker: Worker, problem: str) -> None:
        if worker not in self._silent:
            self._silent.add(worker)
            log.warning("%r: %s; going on without", worker, problem)


def _resident(leaders: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
    groups = process_memory.members(leaders)
    return groups, process_memory.resident(groups)

"""The machine's load over the last hour: a sample every `performance.every`, kept in memory. Nothing here decides anything.

1. `performance` in the configuration in force counts, whatever it was when corral started. Disabled, nothing is sampled, and what was
   is forgotten.
2. What the machine is, is found out once, when somebody first asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

from corral.config.model import Config
from corral.gateway import metrics
from corral.gateway.inforce import InForce
from corral.gateway.metrics import Family
from corral.gateway.ports import Gpu, Machine, Probes, Sample

KEPT: Final = 3600.0
"""Seconds of samples, as under llama-swap."""
FIRST: Final = 1.0
"""Seconds after which the first one is taken: until then there is nothing to show."""

log = logging.getLogger("corral.performance")


class Performance:
    """Samples while `running`."""

    def __init__(self, inforce: InForce, probes: Probes) -> None:
        self.probes = probes
        self.enabled = False
        self._every = FIRST
        self._samples: deque[tuple[int, Sample]] = deque()
        self._changed = asyncio.Event()
        self._hardware: asyncio.Task[Mapping[str, object] | None] | None = None
        inforce.watch(self._adopt)

    def __repr__(self) -> str:
        state = f"every {self._every:g} s" if self.enabled else "disabled"
        return f"<Performance {state}, {len(self._samples)} samples>"

    def _adopt(self, config: Config) -> None:
        settings = config.performance
        self.enabled, self._every = not settings.disabled, settings.every
        kept = self._samples if self.enabled else ()
        self._samples = deque(kept, maxlen=max(1, int(KEPT / self._every)))
        self._changed.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A scope: samples are taken while it lasts."""
        sampling = asyncio.create_task(self._run(), name="performance")
        try:
            yield
        finally:
            tasks = [task for task in (sampling, self._hardware) if task]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        pause = FIRST
        while True:
            await self._wait(pause)
            pause = self._every
            if self.enabled:
                await self._sample()

    async def _wait(self, seconds: float) -> None:
        """Or until the configuration has changed; for that alone, when there is nothing to do."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if self.enabled else None):
                await self._changed.wait()

    async def _sample(self) -> None:
        try:
            sample = await self.probes.sample()
        except Exception:
            log.exception("the machine's load could not be read")
            return
        if self.enabled:  # still
            self._samples.append((round(1000 * time.time()), sample))

    def since(self, after: int | None = None) -> list[tuple[int, Sample]]:
        """The samples taken after that moment (epoch milliseconds), with theirs, the oldest first; without one all."""
        return [(at, one) for at, one in self._samples if after is None or at > after]

    async def hardware(self) -> Mapping[str, object] | None:
        """What this machine is; None when it could not be found out."""
        if self._hardware is None:
            self._hardware = asyncio.create_task(self._found(), name="hardware")
        return await asyncio.shield(self._hardware)

    async def _found(self) -> Mapping[str, object] | None:
        try:
            return await self.probes.hardware()
        except Exception:
            log.exception("the hardware could not be found out")
        return None

    def families(self) -> Iterator[Family]:
        """The last sample; nothing before the first, and nothing when disabled."""
        if not self._samples:
            return
        _, sample = self._samples[-1]
        if sample.machine:
            yield from _machine(sample.machine)
        cards = [_described(card) for card in sample.cards]
        for name, metric in metrics.GPU.items():
            values = ((at, said[name]) for at, said in cards)
            yield metric, [(at, value) for at, value in values if value is not None]


def _machine(machine: Machine) -> Iterator[Family]:
    yield metrics.CORES, [((str(n),), busy) for n, busy in enumerate(machine.cores)]
    for name, metric in metrics.MACHINE.items():
        yield metric, [((), getattr(machine, name))]
    averages = zip((("1m",), ("5m",), ("15m",)), machine.load, strict=True)
    yield metrics.LOAD_AVERAGE, list(averages)
    yield (
        metrics.NETWORK,
        [
            ((name, direction), size)
            for name, received, sent in machine.network
            for direction, size in (("recv", received), ("sent", sent))
        ],
    )


def memory_share(card: Gpu) -> float | None:
    """Percent of the card's memory that is in use."""
    if card.memory_used is None or not card.memory_total:
        return None
    return 100 * card.memory_used / card.memory_total


def _described(card: Gpu) -> tuple[tuple[str, ...], dict[str, float | None]]:
    values = {"memory_share": memory_share(card)}
    values |= {name: getattr(card, name) for name in metrics.GPU if name not in values}
    return (str(card.id), card.name, card.uuid), values

"""The graphics cards' memory around a switch: readings of it, and waiting until what was unloaded has given it back.

1. A reading is bounded. What does not come in time is nulls, and is not asked for again by the same `Meter`: a driver that hangs costs
   a switch one wait. The same goes for a machine that has no cards.
2. There is no event for memory that comes back: it is read again, in pauses that grow, for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final, NamedTuple, TypeVar

from corral.config.conversing import Switching
from corral.gateway.ports import Probes

T = TypeVar("T")

log = logging.getLogger("corral.switching")

READ_LIMIT: Final = 2.0
"""Seconds that a reading may take; `nvidia-smi` alone needs up to one."""
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
"""Seconds between two readings; each pause is twice the one before."""
MOST: Final = 0.9
"""The share of what the unloaded models held that has to come back: some of it is shared with others, or the driver's."""
MIB: Final = 2**20


class Reading(NamedTuple):
    """Memory in use on the cards, in MiB; None where nobody can say. `captured_at` is epoch seconds."""

    total_mb: int | None = None
    per_gpu_mb: tuple[int | None, ...] | None = None
    captured_at: float = 0.0


class Meter:
    """Reads the cards for one switch."""

    def __init__(self, probes: Probes | None) -> None:
        self._probes = probes

    async def read(self) -> Reading:
        """Nulls where there is no card, or it does not answer."""
        used = await self._cards()
        known = [size for size in used if size is not None]
        if not known:
            self._probes = None
            return Reading(captured_at=time.time())
        return Reading(sum(known), tuple(used), time.time())

    async def _cards(self) -> list[int | None]:
        cards = await self._asked(lambda probes: probes.cards()) or ()
        sizes = (card.memory_used for card in cards)
        return [None if size is None else round(size / MIB) for size in sizes]

    async def held(self, leaders: Collection[int]) -> int:
        """MiB that these process groups hold on all cards together, as far as can be known."""
        groups = await self._asked(lambda probes: probes.memory(leaders)) or {}
        return round(sum(sum(held.cards.values()) for held in groups.values()) / MIB)

    async def _asked(self, ask: Callable[[Probes], Awaitable[T]]) -> T | None:
        if self._probes is None:
            return None
        try:
            async with asyncio.timeout(READ_LIMIT):
                return await ask(self._probes)
        except TimeoutError:
            log.warning("the graphics cards' memory could not be read within %g s", READ_LIMIT)
        except Exception:
            log.exception("the graphics cards' memory could not be read")
        self._probes = None
        return None


def goes_by_held(settings: Switching) -> bool:
    """Whether it matters how much the unloaded models held."""
    return (
        settings.settle == "auto" and settings.settle_memory is None and settings.settle_timeout > 0
    )


def target(settings: Switching, before: Reading, held: int) -> int | None:
    """The MiB in use at which memory has settled; None: there is nothing to wait for. `held` as `Meter.held`, of what was unloaded."""
    if before.total_mb is None or not settings.settle_timeout:
        return None
    if settings.settle_memory is not None:
        return settings.settle_memory
    return before.total_mb - round(MOST * held) if held and goes_by_held(settings) else None


async def settled(
    meter: Meter,
    now: Reading,
    target: int,
    within: float,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> tuple[bool | None, Reading]:
    """Whether memory in use has fallen to `target` MiB `within` that many seconds of pauses, and the last reading. None: nobody can say
    any more."""
    step, left = FIRST_PAUSE, within
    while now.total_mb is not None and now.total_mb > target:
        if left <= 0:
            return False, now
        await pause(min(step, left))
        step, left = min(2 * step, LONGEST_PAUSE), left - step
        now = await meter.read()
    return None if now.total_mb is None else True, now

"""What the models' processes hold of the machine's memory, and of the cards'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from corral.gateway import metrics
from corral.gateway.engine import Engine
from corral.gateway.metrics import Family
from corral.gateway.ports import Held, Probes
from corral.scheduler.machine import State


class Footprint(NamedTuple):
    """One model's processes."""

    model: str
    held: Held


async def footprints(engine: Engine, probes: Probes) -> list[Footprint]:
    """Of every model whose process runs, as far as it can be measured."""
    leaders = dict(_leaders(engine))
    if not leaders:
        return []
    held = await probes.memory(leaders)
    return [Footprint(model, held[pid]) for pid, model in leaders.items() if pid in held]


def families(found: list[Footprint]) -> Iterator[Family]:
    """For a scrape."""
    yield metrics.PROCESS_MEMORY, [((one.model,), one.held.memory) for one in found]
    yield (
        metrics.PROCESS_GPU_MEMORY,
        [
            ((one.model, str(card)), size)
            for one in found
            for card, size in sorted(one.held.cards.items())
        ],
    )


def _leaders(engine: Engine) -> Iterator[tuple[int, str]]:
    for model in engine.machine.models:
        if engine.machine.state(model) is not State.UNLOADED:
            pid = engine.processes.status(model).pid
            if pid is not None:
                yield pid, model

"""What loading each model takes, learned load by load and kept across restarts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from corral.gateway.engine import Engine
from corral.gateway.ports import LoadTimes
from corral.scheduler.events import Fact, Order, Ready
from corral.scheduler.machine import State


async def learn(engine: Engine, times: LoadTimes) -> None:
    """Tell the scheduler what is known, and from now on keep what it learns. Before the first fact."""
    machine = engine.machine
    await recall(engine, times)

    def heard(fact: Fact, _: Sequence[Order]) -> None:
        # A late report, of a process that was told to stop meanwhile, teaches nothing.
        if isinstance(fact, Ready) and machine.state(fact.model) is State.READY:
            times.remember(fact.model, machine.load_costs()[fact.model])

    engine.listeners.append(heard)


async def recall(engine: Engine, times: LoadTimes, models: Collection[str] | None = None) -> None:
    """Tell the scheduler what is known of `models`, or of all."""
    for model, seconds in (await times.load()).items():
        if models is None or model in models:
            engine.machine.learn(model, seconds)

"""What loading takes: told to the scheduler at start, kept with each load."""

from __future__ import annotations

import asyncio

import pytest

from corral.errors import LoadFailed
from corral.gateway.learning import learn


class Kept:
    """`ports.LoadTimes`, in memory."""

    def __init__(self, **known):
        self.known = known
        self.told = []

    async def load(self):
        return dict(self.known)

    def remember(self, model, seconds):
        self.told.append((model, seconds))


async def load(house, model, seconds):
    house.obey(*set(house.config.models) - {model})
    waiting = await house.begin(house.use(model))
    await house.loading(model)
    house.clock.time += seconds
    house.processes.ready(model)
    await waiting


def test_the_scheduler_begins_with_what_is_known(play, world):
    async def scene(house):
        await learn(house.engine, Kept(a=12.0))
        assert house.machine.load_costs() == {"a": 12.0}

    play(world.alone("a", "b"), scene)


def test_each_load_is_kept_as_the_scheduler_now_sees_it(play, world):
    async def scene(house):
        kept = Kept(a=10.0)
        await learn(house.engine, kept)
        await load(house, "a", 20.0)
        await load(house, "b", 3.0)
        assert [model for model, _ in kept.told] == ["a", "b"]
        seconds = dict(kept.told)
        assert seconds == house.machine.load_costs()
        assert 10.0 < seconds["a"] <= 20.0
        assert seconds["b"] == pytest.approx(3.0)

    play(world.alone("a", "b"), scene)


def test_a_load_that_fails_or_is_called_off_teaches_nothing(play, world):
    async def scene(house):
        kept = Kept()
        await learn(house.engine, kept)
        house.obey()
        waiting = await house.begin(house.use("a"))
        await house.loading("a")
        house.processes.exit("a")
        with pytest.raises(LoadFailed):
            await waiting
        waiting = await house.begin(house.use("b"))
        await house.loading("b")
        unloading = await house.begin(house.engine.unload(["b"]))
        house.engine.ready("b")  # late
        house.processes.exit("b")
        await asyncio.wait([unloading, waiting])
        assert waiting.exception()
        assert kept.told == []

    play(world.alone("a", "b"), scene)


def test_a_listener_that_fails_costs_nobody_anything(play, world, caplog):
    async def scene(house):
        heard = []
        house.engine.listeners += [lambda fact, orders: 1 / 0, lambda fact, _: heard.append(fact)]
        await house.use("a")
        assert [type(fact).__name__ for fact in heard] == [
            "Arrived",
            "Checked",
            "Ready",
            "Departed",
        ]
        assert caplog.text.count("could not be passed on") == len(heard)

    play(world.alone("a"), scene)

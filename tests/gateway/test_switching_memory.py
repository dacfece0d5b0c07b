"""The cards' memory around a switch: what is read when, and what is waited for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from corral.errors import (
    LoadFailed,
)

MIB = 2**20


class Probes:
    """Cards that hold what the list says, reading by reading, the last for ever; a process group holds `held`."""

    def __init__(self, *readings, held=0):
        self.readings, self.held, self.asked = list(readings), held, []

    async def cards(self):
        self.asked.append("cards")
        mib = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        return [SimpleNamespace(memory_used=mib * MIB)] if mib is not None else []

    async def memory(self, leaders):
        self.asked.append(sorted(leaders))
        return {pid: SimpleNamespace(cards={0: self.held * MIB}) for pid in leaders}


def memory(report):
    return [reading.total_mb for reading in report.memory]


def test_it_waits_until_memory_has_fallen_by_about_what_was_unloaded(play, alone):
    probes = Probes(1000, 900, 700, 140, 800, held=900)

    async def scene(house):
        await house.use("a")
        report = await house.switcher.switch("b")
        assert memory(report) == [1000, 900, 140, 800]
        assert report.settled is True
        assert probes.asked == ["cards", [4000], "cards", "cards", "cards", "cards"]

    play(alone("a", "b"), scene, probes=probes)


def test_what_two_held_counts_together_and_is_read_once(play, alone):
    probes = Probes(1000, 500, 50, held=500)

    async def scene(house):
        await house.use("a")
        await house.use("b")
        report = await house.switcher.switch("c")
        assert memory(report) == [1000, 500, 50, 50]
        assert probes.asked[:3] == ["cards", [4000, 4001], "cards"]

    more = "groups: {pair: {swap: false, exclusive: true, members: [a, b]}}"
    play(alone("a", "b", "c", more=more), scene, probes=probes)


def test_memory_that_does_not_settle_in_time_is_told_and_it_goes_on(play, alone, caplog):
    async def scene(house):
        await house.use("a")
        report = await house.switcher.switch("b")
        assert report.settled is False
        assert house.active == "b"
        assert "in use after 0.01 s, not 300 or less; going on" in caplog.text

    more = "switching: {settleMemory: 300, settleTimeout: 0.01}"
    play(alone("a", "b", more=more), scene, probes=Probes(1000, held=900))


def test_an_amount_that_is_reached_is_settled(play, alone):
    probes = Probes(1000, 250, held=900)

    async def scene(house):
        await house.use("a")
        assert (await house.switcher.switch("b")).settled is True
        assert probes.asked == ["cards"] * 3

    play(alone("a", "b", more="switching: {settleMemory: 300}"), scene, probes=probes)


@pytest.mark.parametrize("switching", ["settle: 'off'", "settleTimeout: 0"])
def test_nobody_waits_for_memory_where_that_is_off(play, alone, switching):
    async def scene(house):
        await house.use("a")
        report = await house.switcher.switch("b")
        assert (report.settled, memory(report)) == (None, [1000] * 4)

    more = f"switching: {{{switching}}}"
    play(alone("a", "b", more=more), scene, probes=Probes(1000, held=900))


def test_where_nothing_is_unloaded_there_is_nothing_to_wait_for(play, alone):
    probes = Probes(500, 800)

    async def scene(house):
        report = await house.switcher.switch("a")
        assert (report.settled, memory(report)) == (None, [500, 500, 500, 800])

    play(alone("a", "b", more="switching: {settleMemory: 300}"), scene, probes=probes)


def test_a_target_that_is_loading_already_is_read_before_and_after(play, alone):
    async def scene(house):
        house.obey()
        request = await house.begin(house.use("b"))
        await house.loading("b")
        task = await house.begin(house.switcher.switch("b"))
        await house.until(lambda: house.machine.waiting("b") == 2)
        house.processes.ready("b")
        assert memory(await task) == [500, 500, 500, 800]
        await request

    play(alone("a", "b"), scene, probes=Probes(500, 800))


def test_a_target_that_is_ready_by_the_time_memory_was_read(play, alone):
    class Late(Probes):
        async def cards(self):
            house.processes.ready("b")
            return await super().cards()

    async def scene(given):
        nonlocal house
        house = given
        house.obey()
        request = await house.begin(house.use("b"))
        await house.loading("b")
        assert (await house.switcher.switch("b")).model == "b"
        await request

    house = None
    play(alone("a", "b"), scene, probes=Late(500))


def test_without_cards_one_look_is_all(play, alone):
    probes = Probes(None)

    async def scene(house):
        await house.use("a")
        report = await house.switcher.switch("b")
        assert (report.settled, memory(report)) == (None, [None] * 4)
        assert probes.asked == ["cards"]

    play(alone("a", "b"), scene, probes=probes)


def test_only_a_switch_looks_at_memory(play, alone):
    probes = Probes(1000)

    async def scene(house):
        for model in "abab":
            await house.use(model)
        await house.engine.unload(["b"])
        assert probes.asked == []
        await house.switcher.switch("a")
        looks = len(probes.asked)
        await house.use("b")
        await house.use("a")
        assert len(probes.asked) == looks

    play(alone("a", "b"), scene, probes=probes)


def test_what_stops_meanwhile_for_another_reason_is_not_measured(play, together):
    probes = Probes(1000)

    async def scene(house):
        await house.use("a")
        house.obey("a", "c")
        task = await house.begin(house.switcher.switch("b"))
        await house.loading("b")
        looks = len(probes.asked)
        await house.engine.unload(["a"])
        assert len(probes.asked) == looks
        house.processes.ready("b")
        assert (await task).settled is None

    play(together("a", "b", "c"), scene, probes=probes)


def test_a_target_that_is_stopped_while_memory_settles_is_never_launched(play, alone):
    class Endless(Probes):
        """After the first two, readings do not come."""

        async def cards(self):
            if len(self.readings) == 1:
                settling.set()
                await asyncio.Event().wait()
            return await super().cards()

    settling = asyncio.Event()

    async def scene(house):
        await house.use("a")
        task = await house.begin(house.switcher.switch("b"))
        await settling.wait()
        await house.engine.unload(["b"])
        with pytest.raises(LoadFailed, match="b was unloaded; a is still the active one, and"):
            await task
        assert house.done == [("start", "a"), ("stop", "a"), ("start", "a")]

    play(alone("a", "b"), scene, probes=Endless(1000, 900, 800, held=900))

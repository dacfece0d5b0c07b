"""Readings of the cards' memory, and the wait for it to come back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from corral.config.conversing import Switching
from corral.gateway import settling
from corral.gateway.settling import MIB, Meter, Reading, goes_by_held, settled, target


class Probes:
    """Cards that hold what the list says, reading by reading, the last for ever; an error is raised, an event waited for."""

    def __init__(self, *readings, held=None):
        self.readings, self.held = list(readings), held or {}
        self.asked = 0

    async def cards(self):
        self.asked += 1
        now = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(now, Exception):
            raise now
        if isinstance(now, asyncio.Event):
            await now.wait()
        return [SimpleNamespace(memory_used=None if mib is None else mib * MIB) for mib in now]

    async def memory(self, leaders):
        cards = {pid: self.held[pid] for pid in leaders if pid in self.held}
        return {
            pid: SimpleNamespace(cards={n: mib * MIB for n, mib in enumerate(sizes)})
            for pid, sizes in cards.items()
        }


class Pauses:
    """Time that passes at once."""

    def __init__(self):
        self.taken = []

    async def __call__(self, seconds):
        self.taken.append(seconds)


def reading(mib):
    return Reading(mib, (mib,), 1.0)


def test_a_reading_is_of_every_card_and_of_all_together(run):
    async def scene():
        read = await Meter(Probes([100, 23])).read()
        assert (read.total_mb, read.per_gpu_mb) == (123, (100, 23))
        assert read.captured_at > 1e9

    run(scene())


def test_a_card_that_does_not_say_is_null_and_does_not_count(run):
    async def scene():
        read = await Meter(Probes([None, 23])).read()
        assert (read.total_mb, read.per_gpu_mb) == (23, (None, 23))

    run(scene())


@pytest.mark.parametrize("cards", [[], [None]])
def test_without_cards_it_is_nulls_and_they_are_not_asked_again(run, cards):
    async def scene():
        probes = Probes(cards)
        meter = Meter(probes)
        for _ in range(3):
            read = await meter.read()
            assert (read.total_mb, read.per_gpu_mb) == (None, None)
            assert read.captured_at > 1e9
        assert await meter.held([1]) == 0
        assert probes.asked == 1

    run(scene())


def test_where_nobody_measures_it_is_nulls(run):
    async def scene():
        assert (await Meter(None).read()).total_mb is None
        assert await Meter(None).held([1]) == 0

    run(scene())


@pytest.mark.parametrize("what", [RuntimeError("a defect"), "hangs"])
def test_cards_that_fail_or_hang_cost_one_reading(run, monkeypatch, caplog, what):
    monkeypatch.setattr(settling, "READ_LIMIT", 0.01)

    async def scene():
        probes = Probes(asyncio.Event() if what == "hangs" else what)
        meter = Meter(probes)
        assert (await meter.read()).total_mb is None
        assert (await meter.read()).total_mb is None
        assert probes.asked == 1
        assert "could not be read" in caplog.text

    run(scene())


def test_what_processes_hold_on_all_cards(run):
    async def scene():
        meter = Meter(Probes([100], held={7: [10, 20], 8: [5], 9: [1]}))
        assert await meter.held([7, 8]) == 35

    run(scene())


@pytest.mark.parametrize(
    ("settings", "before", "held", "aim"),
    [
        ({}, 1000, 500, 550),
        ({}, 1000, 0, None),
        ({}, None, 500, None),
        ({"settle": "off"}, 1000, 500, None),
        ({"settle_timeout": 0}, 1000, 500, None),
        ({"settle_memory": 300}, 1000, 500, 300),
        ({"settle_memory": 300}, 1000, 0, 300),
        ({"settle_memory": 300}, None, 0, None),
        ({"settle_memory": 300, "settle_timeout": 0}, 1000, 500, None),
    ],
)
def test_the_aim(settings, before, held, aim):
    assert target(Switching(**settings), Reading(before), held) == aim


def test_when_it_matters_what_they_held():
    assert goes_by_held(Switching())
    assert not goes_by_held(Switching(settle="off"))
    assert not goes_by_held(Switching(settle_memory=1))
    assert not goes_by_held(Switching(settle_timeout=0))


def test_it_waits_until_memory_has_fallen_far_enough(run):
    async def scene():
        pauses = Pauses()
        meter = Meter(Probes([900], [700], [500], [100]))
        done, last = await settled(meter, reading(1000), 550, 10, pauses)
        assert (done, last.total_mb) == (True, 500)
        assert pauses.taken == [0.005, 0.01, 0.02]

    run(scene())


def test_what_has_fallen_already_is_not_waited_for(run):
    async def scene():
        pauses = Pauses()
        now = reading(500)
        assert await settled(Meter(Probes([9])), now, 500, 10, pauses) == (True, now)
        assert pauses.taken == []

    run(scene())


def test_it_gives_up_when_the_time_is_up_and_pauses_no_longer_than_that(run):
    async def scene():
        pauses = Pauses()
        done, last = await settled(Meter(Probes([1000])), reading(1000), 550, 1.3, pauses)
        assert (done, last.total_mb) == (False, 1000)
        assert sum(pauses.taken) == pytest.approx(1.3)
        assert max(pauses.taken) == settling.LONGEST_PAUSE

    run(scene())


def test_cards_that_fall_silent_end_the_wait_without_an_answer(run):
    async def scene():
        meter = Meter(Probes([900], RuntimeError("gone")))
        done, last = await settled(meter, reading(1000), 550, 10, Pauses())
        assert (done, last.total_mb) == (None, None)

    run(scene())

"""The machine's load over the last hour, and what it is."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from corral.gateway import footprint, performance
from corral.gateway.performance import Performance, memory_share

MACHINE = SimpleNamespace(
    cores=(12.5, 0.0),
    memory_total=1000,
    memory_used=600,
    memory_free=100,
    swap_total=50,
    swap_used=5,
    load=(1.0, 2.0, 3.0),
    network=(("eth0", 7, 8),),
)
CARD = SimpleNamespace(
    id=0,
    name="RTX",
    uuid="GPU-1",
    temperature=70.0,
    memory_temperature=None,
    busy=91.0,
    memory_used=30,
    memory_total=40,
    fan=None,
    power=312.5,
)


class Probes:
    """`ports.Probes`, told what to find."""

    def __init__(self):
        self.found = SimpleNamespace(machine=MACHINE, cards=(CARD,))
        self.held = {}
        self.asked = 0
        self.sampled = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def sample(self):
        self.asked += 1
        self.sampled.set()
        await self.gate.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def memory(self, leaders):
        self.asked += 1
        return {pid: held for pid, held in self.held.items() if pid in leaders}

    async def hardware(self):
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return {"schema_version": 1}


@pytest.fixture
def often(monkeypatch):
    """Samples follow each other at once, whatever the configuration says."""
    monkeypatch.setattr(performance, "FIRST", 0.0)
    wait = Performance._wait

    async def at_once(self, seconds):
        await wait(self, 0.0)

    monkeypatch.setattr(Performance, "_wait", at_once)


def of(house):
    return house.gateway.performance


async def until(holds):
    """For what another task or the clock does."""
    while not holds():  # noqa: ASYNC110 - the samples have no event
        await asyncio.sleep(0.001)


def shown(families):
    return {metric.name: dict(series) for metric, series in families}


def test_samples_are_taken_while_it_runs(play, world, often):
    async def scene(house):
        measured = of(house)
        assert measured.since() == []
        async with measured.running():
            await until(lambda: len(measured.since()) >= 3)
        kept = len(measured.since())
        await asyncio.sleep(0)
        assert len(measured.since()) == kept
        assert kept == house.probes.asked
        assert all(sample is house.probes.found for _, sample in measured.since())

    measured_by(play, world, scene)


def measured_by(play, world, scene, more=""):
    async def within(house):
        house.probes = of(house).probes
        await scene(house)

    play(world.alone("a", "b", more=more), within, probes=Probes())


def test_those_after_a_moment(play, world):
    async def scene(house):
        measured = of(house)
        measured._samples.extend([(1000, "first"), (2000, "second"), (3000, "third")])
        assert [sample for _, sample in measured.since(1000)] == ["second", "third"]
        assert measured.since(3000) == []
        assert len(measured.since(-1)) == 3

    measured_by(play, world, scene)


@pytest.mark.parametrize(
    ("more", "kept"),
    [("", 720), ("performance: {every: 1m}\n", 60), ("performance: {every: 2h}\n", 1)],
)
def test_an_hour_is_kept(play, world, more, kept):
    async def scene(house):
        assert of(house)._samples.maxlen == kept

    measured_by(play, world, scene, more)


def test_disabled_nothing_is_measured(play, world, often):
    async def scene(house):
        async with of(house).running():
            for _ in range(20):
                await asyncio.sleep(0)
        assert house.probes.asked == 0
        assert shown(of(house).families()) == {}
        assert repr(of(house)) == "<Performance disabled, 0 samples>"

    measured_by(play, world, scene, "performance: {disabled: true}\n")


def test_a_reload_may_enable_and_disable_it(play, world, monkeypatch):
    monkeypatch.setattr(performance, "FIRST", 0.0)

    async def scene(house):
        text, measured = house.text, of(house)
        async with measured.running():
            await asyncio.sleep(0)
            assert house.probes.asked == 0
            await house.reload(text.replace("true", "false"))
            await house.probes.sampled.wait()
            await until(measured.since)
            await house.reload(text)
            assert measured.since() == []
            assert not measured.enabled

    measured_by(play, world, scene, "performance: {disabled: true}\n")


def test_a_sample_that_comes_after_it_was_disabled_is_not_kept(play, world, monkeypatch):
    monkeypatch.setattr(performance, "FIRST", 0.0)

    async def scene(house):
        house.probes.gate.clear()
        async with of(house).running():
            await house.probes.sampled.wait()
            await house.reload(house.text + "performance: {disabled: true}\n")
            house.probes.gate.set()
            await asyncio.sleep(0.01)
        assert of(house).since() == []

    measured_by(play, world, scene)


def test_what_goes_wrong_costs_one_sample(play, world, often, caplog):
    async def scene(house):
        found, house.probes.found = house.probes.found, RuntimeError("no counters")
        async with of(house).running():
            await until(lambda: house.probes.asked > 1)
            house.probes.found = found
            await until(of(house).since)

    with caplog.at_level(logging.ERROR):
        measured_by(play, world, scene)
    assert "no counters" in caplog.text


def test_the_last_sample_as_gauges(play, world):
    async def scene(house):
        measured = of(house)
        assert shown(measured.families()) == {}
        measured._samples.append((1, SimpleNamespace(machine=None, cards=())))
        assert all(series == {} for series in shown(measured.families()).values())
        measured._samples.append((2, house.probes.found))
        told, card = shown(measured.families()), ("0", "RTX", "GPU-1")
        assert told["llamaswap_cpu_util_percent"] == {("0",): 12.5, ("1",): 0.0}
        assert told["llamaswap_memory_used_bytes"] == {(): 600}
        assert told["llamaswap_swap_total_bytes"] == {(): 50}
        assert told["llamaswap_load_average"] == {("1m",): 1.0, ("5m",): 2.0, ("15m",): 3.0}
        assert told["llamaswap_network_bytes_total"] == {("eth0", "recv"): 7, ("eth0", "sent"): 8}
        assert told["llamaswap_gpu_memory_util_percent"] == {card: 75.0}
        assert told["llamaswap_gpu_power_draw_watts"] == {card: 312.5}
        assert told["llamaswap_gpu_fan_speed_percent"] == {}  # it does not say

    measured_by(play, world, scene)


@pytest.mark.parametrize(
    ("used", "total", "share"), [(1, 4, 25.0), (None, 4, None), (1, None, None), (0, 0, None)]
)
def test_the_share_of_a_cards_memory(used, total, share):
    assert memory_share(SimpleNamespace(memory_used=used, memory_total=total)) == share


def test_the_hardware_is_found_out_once(play, world):
    async def scene(house):
        measured = of(house)
        async with measured.running():
            found = await asyncio.gather(measured.hardware(), measured.hardware())
            assert found == [{"schema_version": 1}] * 2
        assert house.probes.asked == 1

    measured_by(play, world, scene, "performance: {disabled: true}\n")


def test_hardware_that_cannot_be_found_out(play, world, caplog):
    async def scene(house):
        house.probes.found = RuntimeError("no such bus")
        async with of(house).running():
            assert await of(house).hardware() is None

    measured_by(play, world, scene, "performance: {disabled: true}\n")
    assert "no such bus" in caplog.text


def test_what_models_hold(play, world):
    async def scene(house):
        probes, engine = house.probes, house.engine
        assert await footprint.footprints(engine, probes) == []
        assert probes.asked == 0
        await house.use("b")
        pid = engine.processes.status("b").pid
        probes.held = {pid: SimpleNamespace(memory=500, cards={1: 20, 0: 10}), 1: None}
        found = await footprint.footprints(engine, probes)
        assert shown(footprint.families(found)) == {
            "corral_process_memory_bytes": {("b",): 500},
            "corral_process_gpu_memory_bytes": {("b", "0"): 10, ("b", "1"): 20},
        }

    measured_by(play, world, scene)

"""What is measured of a machine: bounded in time, whatever hangs; and complete, whatever a card does not say."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import threading
from typing import NamedTuple

import psutil
import pytest

from corral.host import gpu, hardware, machine, probes, process_memory
from corral.host.gpu import Cards, Gpu, Unknown
from corral.host.probes import Probes
from corral.host.worker import Worker

BOUND = 30.0
"""Seconds after which a test that waits has failed."""


def run(play):
    async def bounded():
        async with asyncio.timeout(BOUND):
            await play

    asyncio.run(bounded())


class Source:
    """A source of cards; `cards` may be an exception, or wait for `gate`."""

    def __init__(self, *cards, processes=()):
        self.answer, self.held, self.asked = cards, processes, 0
        self.gate = threading.Event()
        self.gate.set()

    def cards(self):
        self.asked += 1
        self.gate.wait(BOUND)
        if self.answer and isinstance(self.answer[0], Exception):
            raise self.answer[0]
        return self.answer

    def processes(self):
        return self.held


def absent():
    raise Unknown("not here")


# --- a thread for what may never return ----------------------------------------------------------------------------


def test_a_worker_returns_and_raises_what_the_job_does():
    async def scene():
        worker = Worker("w")
        assert await worker.ask(lambda: 7, BOUND) == 7
        with pytest.raises(ZeroDivisionError):
            await worker.ask(lambda: 1 / 0, BOUND)
        assert await worker.ask(threading.current_thread, BOUND) is not threading.current_thread()
        worker.close()

    run(scene())


def test_a_worker_that_hangs_costs_a_bounded_wait_and_nothing_is_begun_late():
    async def scene():
        worker, gate, begun = Worker("w"), threading.Event(), []
        with pytest.raises(TimeoutError):
            await worker.ask(lambda: gate.wait(BOUND), 0.01)
        with pytest.raises(TimeoutError):
            await worker.ask(lambda: begun.append("late"), 0.01)
        gate.set()
        assert await worker.ask(lambda: "again", BOUND) == "again"
        assert begun == []
        worker.close()

    run(scene())


def test_a_worker_may_be_closed_while_it_hangs_and_asked_again():
    async def scene():
        worker, gate = Worker("w"), threading.Event()
        with pytest.raises(TimeoutError):
            await worker.ask(lambda: gate.wait(BOUND), 0.01)
        worker.close()
        assert await worker.ask(lambda: "another thread", BOUND) == "another thread"
        gate.set()
        worker.close()
        worker.close()

    run(scene())


# --- the machine ---------------------------------------------------------------------------------------------------


def test_the_machine_tells_its_load():
    read = machine.Reader().read()
    assert len(read.cores) == psutil.cpu_count()
    assert all(0 <= core <= 100 for core in read.cores)
    assert 0 < read.memory_used <= read.memory_total
    assert 0 <= read.memory_free <= read.memory_total
    assert 0 <= read.swap_used <= read.swap_total
    assert len(read.load) == 3
    assert {"lo", "lo0"}.isdisjoint(traffic.name for traffic in read.network)


class Times(NamedTuple):
    """As psutil gives them under Linux, where a guest's time is counted twice."""

    user: float
    idle: float
    iowait: float = 0.0
    guest: float = 0.0


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        (Times(1, 1), Times(2, 4), 25.0),
        (Times(1, 1), Times(1, 5), 0.0),
        (Times(1, 1), Times(5, 1), 100.0),
        (Times(0, 0, 5), Times(2, 1, 6), 50.0),
        (Times(2, 0, 0, 2), Times(4, 2, 0, 4), 50.0),
        (Times(1, 1), Times(1, 1), 0.0),
        (Times(2, 2), Times(1, 1), 0.0),  # a clock that goes back
        (Times(2, 2), Times(3, 1.5), 100.0),
    ],
)
def test_a_core_is_busy_when_it_is_not_idle(monkeypatch, before, after, busy):
    spent = [[before], [after]]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: spent.pop(0))
    assert machine.Reader().read().cores == (busy,)


def test_cores_may_come_and_go(monkeypatch):
    spent = [[Times(1, 1)], [Times(2, 2), Times(9, 9)], [Times(3, 2), Times(9, 10)]]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: spent.pop(0))
    reader = machine.Reader()
    assert reader.read().cores == (0.0, 0.0)
    assert reader.read().cores == (100.0, 0.0)


def test_a_group_holds_what_all_its_processes_hold():
    """A launcher and its worker; somebody else's process is not counted."""
    code = "import os, sys; os.fork(); os.write(1, b'up\\n'); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes) as child:
        assert [child.stdout.readline() for _ in range(2)] == [b"up\n"] * 2
        members = process_memory.members([child.pid])
        held = process_memory.resident(members)
        child.stdin.close()
    assert set(members.values()) == {child.pid}
    assert len(members) == 2
    assert os.getpid() not in members
    assert held[child.pid] > 2 * 2**20


def test_a_group_that_is_gone_holds_nothing():
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as child:
        child.wait()
    assert process_memory.members([child.pid]) == {}
    assert process_memory.resident({child.pid: child.pid}) == {}


# --- cards ---------------------------------------------------------------------------------------------------------


def test_the_best_source_that_knows_any_card_is_asked():
    best, second = Source(Gpu(0, "best")), Source(Gpu(0, "second"))
    cards = Cards([[absent, lambda: best, lambda: second]])
    assert [card.name for card in cards.read()] == ["best"]
    assert second.asked == 0


def test_a_source_without_cards_gives_way_to_the_next():
    cards = Cards([[Source, lambda: Source(Unknown("broken")), lambda: Source(Gpu(0, "x"))]])
    assert [card.name for card in cards.read()] == ["x"]


def test_cards_of_several_makers_are_numbered_through():
    one = Source(Gpu(0, "a"), Gpu(1, "b"), processes=[(1, 10, 100)])
    other = Source(Gpu(0, "c"), processes=[(0, 11, 200)])
    cards = Cards([[lambda: one], [lambda: other]])
    assert [(card.id, card.name) for card in cards.read()] == [(0, "a"), (1, "b"), (2, "c")]
    assert cards.processes() == [(1, 10, 100), (2, 11, 200)]


def test_a_source_may_not_know_who_holds_memory_now():
    class Forgetful(Source):
        def processes(self):
            raise Unknown("busy")

    assert Cards([[lambda: Forgetful(Gpu(0, "a"))]]).processes() == []


def test_processes_may_be_asked_for_before_the_cards():
    cards = Cards([[lambda: Source(Gpu(0, "a"), processes=[(0, 1, 5)])]])
    assert cards.processes() == [(0, 1, 5)]


def test_where_there_is_nothing_it_is_looked_again_only_after_a_while():
    now, looked = 100.0, []

    def missing():
        looked.append(now)
        raise Unknown("no driver")

    cards = Cards([[missing]], lambda: now)
    assert cards.read() == ()
    now += gpu.AGAIN - 1
    assert cards.read() == ()
    assert cards.processes() == []
    assert looked == [100.0]
    now += 1
    cards.read()
    assert looked == [100.0, 160.0]


def test_a_source_that_fails_now_is_asked_again():
    source = Source(Gpu(0, "a"))
    cards = Cards([[lambda: source]], lambda: 0.0)
    assert cards.read()
    source.answer = (Unknown("busy"),)
    assert cards.read() == ()
    source.answer = (Gpu(0, "a"),)
    assert len(cards.read()) == 1


# --- all together --------------------------------------------------------------------------------------------------


def test_a_sample_holds_the_machine_and_its_cards():
    async def scene():
        instruments = Probes(Cards([[lambda: Source(Gpu(0, "a", memory_total=8))]]))
        sample = await instruments.sample()
        assert sample.machine.memory_total > 0
        assert [card.name for card in sample.cards] == ["a"]
        instruments.close()

    run(scene())


def test_the_cards_alone():
    async def scene():
        instruments = Probes(Cards([[lambda: Source(Gpu(0, "a", memory_used=8))]]))
        assert [card.memory_used for card in await instruments.cards()] == [8]
        instruments.close()
        broken = Probes(Cards([[lambda: Source(RuntimeError("segment"))]]))
        assert await broken.cards() == ()
        broken.close()

    run(scene())


def test_a_driver_that_hangs_costs_its_cards_and_is_told_of_once(monkeypatch, caplog):
    monkeypatch.setattr(probes, "SAMPLE_LIMIT", 0.2)
    source = Source(Gpu(0, "a"))

    async def scene():
        instruments = Probes(Cards([[lambda: source]]))
        source.gate.clear()
        for _ in range(2):
            sample = await instruments.sample()
            assert sample.cards == ()
        source.gate.set()
        monkeypatch.setattr(probes, "SAMPLE_LIMIT", BOUND)
        assert len((await instruments.sample()).cards) == 1
        instruments.close()

    with caplog.at_level(logging.INFO, "corral.probes"):
        run(scene())
    told = [r.message for r in caplog.records if "graphics cards" in r.message]
    assert [("no answer" in line, "answers again" in line) for line in told] == [
        (True, False),
        (False, True),
    ]


def test_whatever_a_driver_does_wrong_costs_its_cards_only(caplog):
    async def scene():
        instruments = Probes(Cards([[lambda: Source(RuntimeError("segment"))]]))
        sample = await instruments.sample()
        assert sample.machine is not None
        assert sample.cards == ()
        instruments.close()

    run(scene())
    assert "RuntimeError('segment')" in caplog.text


def test_memory_is_told_by_process_group_and_card():
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as child:

        async def scene():
            shares = [(0, child.pid, 100), (1, child.pid, 30), (0, os.getpid(), 999)]
            source = Source(Gpu(0, "a"), Gpu(1, "b"), processes=shares)
            instruments = Probes(Cards([[lambda: source]]))
            held = await instruments.memory([child.pid, 2**22 + 1])
            assert list(held) == [child.pid]
            assert held[child.pid].memory > 0
            assert held[child.pid].cards == {0: 100, 1: 30}
            assert await instruments.memory([]) == {}
            instruments.close()

        run(scene())
        child.stdin.close()


def test_on_this_machine_everything_answers():
    async def scene():
        instruments = Probes()
        assert (await instruments.sample()).machine is not None
        assert (await instruments.hardware())["schema_version"] == 1
        instruments.close()

    run(scene())


# --- what the machine is -------------------------------------------------------------------------------------------


def test_the_snapshot_has_llama_swaps_shape():
    cards = [
        Gpu(
            0,
            "GeForce",
            "GPU-1",
            "NVIDIA",
            memory_total=24 * 2**30,
            driver="570.1",
            power_limit=350.0,
        ),
        Gpu(1, "GB10", "", "NVIDIA", memory_total=2**37, unified=True),
        Gpu(2, "?"),
    ]
    found = hardware.snapshot(cards)
    assert list(found) == [
        "schema_version",
        "captured_at",
        "capture",
        "architecture",
        "operating_system",
        "environment",
        "cpu",
        "memory",
        "accelerators",
    ]
    assert found["captured_at"].endswith("Z")
    assert found["capture"]["scope"] == "inference_host"
    assert found["memory"]["capacity_bytes"] > 0
    assert set(found["cpu"]) == {
        "vendor",
        "model",
        "socket_count",
        "physical_core_count",
        "logical_thread_count",
    }
    first, second, third = found["accelerators"]
    assert first == {
        "index": 0,
        "kind": "gpu",
        "vendor": "NVIDIA",
        "model": "GeForce",
        "architecture": None,
        "memory": {"kind": "dedicated", "capacity_bytes": 24 * 2**30},
        "driver": {"name": None, "version": "570.1"},
        "power_limit_watts": 350.0,
    }
    assert second["memory"] == {"kind": "unified", "capacity_bytes": 2**37}
    assert third["memory"] == {"kind": "unknown", "capacity_bytes": None}
    assert (third["vendor"], third["driver"], third["power_limit_watts"]) == (None, None, None)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("x86_64", "x86_64"),
        ("AMD64", "x86_64"),
        ("aarch64", "arm64"),
        ("arm64", "arm64"),
        ("armv7l", "armv7"),
        ("riscv64", "riscv64"),
        ("mips", "other"),
        ("", "other"),
    ],
)
def test_architectures_have_one_name(raw, name):
    said = hardware._architecture(raw)
    assert said["name"] == name
    assert said["raw_name"]


@pytest.mark.parametrize(
    ("release", "marked", "flags", "kind"),
    [
        ("5.15-microsoft-standard-WSL2", True, "hypervisor", "wsl"),
        ("6.1", True, "hypervisor", "container"),
        ("6.1", False, "fpu hypervisor sse", "virtual_machine"),
        ("6.1", False, "fpu sse", "native"),
        ("6.1", False, None, "unknown"),
    ],
)
def test_where_it_runs(monkeypatch, tmp_path, release, marked, flags, kind):
    mark = tmp_path / ".dockerenv"
    if marked:
        mark.touch()
    monkeypatch.setattr(hardware, "_CONTAINER_MARKS", (mark,))
    monkeypatch.setattr(hardware.platform, "release", lambda: release)
    monkeypatch.setattr(hardware, "_cpu_info", lambda: {} if flags is None else {"flags": [flags]})
    assert hardware._environment() == kind


def test_a_machine_without_nvidia_smi_is_no_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("nvidia-smi") is None
    assert Cards(probes.SOURCES).read() == ()

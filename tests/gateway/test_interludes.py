"""What is done before a launch and before a stop: in order, bounded, and broken off without a trace."""

from __future__ import annotations

import asyncio

import pytest

from corral.gateway import interludes as module
from corral.gateway.interludes import Interludes


class Done:
    """What came of it."""

    def __init__(self):
        self.said = []
        self.event = asyncio.Event()

    def __call__(self, *what):
        self.said.append(what)
        self.event.set()


def test_with_nothing_to_do_it_happens_at_once(run):
    async def scene():
        interludes, done = Interludes(), Done()
        interludes.before_start.append(lambda model: None)
        interludes.start("a", done)
        assert interludes.stop("a", 5, done)
        assert done.said == [(), (5,)]
        assert repr(interludes) == "<Interludes: []>"

    run(scene())


def test_what_is_to_be_done_comes_before_in_order(run):
    async def scene():
        interludes, done, order = Interludes(), Done(), []

        async def play(name):
            order.append(name)

        interludes.before_start += [lambda model: play(f"one {model}"), lambda model: play("two")]
        interludes.start("a", done)
        assert repr(interludes) == "<Interludes: ['a']>"
        assert done.said == []
        await done.event.wait()
        assert order == ["one a", "two"]
        assert interludes.broken_off("a") == ""

    run(scene())


def test_before_a_stop_it_takes_from_the_grace(run):
    async def scene():
        interludes, done = Interludes(), Done()

        async def hangs():
            await asyncio.Event().wait()

        interludes.before_stop.append(lambda model: hangs())
        assert interludes.stop("a", 0.01, done)
        await done.event.wait()
        assert done.said == [(0.0,)]
        assert interludes.stop("b", 0, done)  # there is no time for it
        assert done.said == [(0.0,), (0,)]

    run(scene())


def test_a_stop_before_the_launch_means_it_never_is(run):
    async def scene():
        interludes, done, begun = Interludes(), Done(), []

        async def play():
            begun.append("begun")

        interludes.before_start.append(lambda model: play())
        interludes.start("a", done)
        assert not interludes.stop("a", 5, done)
        await asyncio.sleep(0)
        assert (done.said, begun) == ([], [])

    run(scene())


def test_told_to_stop_again_it_stops_at_once(run):
    async def scene():
        interludes, done = Interludes(), Done()

        async def hangs():
            await asyncio.Event().wait()

        interludes.before_stop.append(lambda model: hangs())
        assert interludes.stop("a", 60, done)
        await asyncio.sleep(0)
        assert interludes.stop("a", 1, done)
        assert done.said == [(1,)]

    run(scene())


def test_one_that_exits_meanwhile_is_not_stopped_as_well(run):
    async def scene():
        interludes, done = Interludes(), Done()
        gate = asyncio.Event()
        interludes.before_stop.append(lambda model: gate.wait())
        assert interludes.stop("a", 60, done)
        assert interludes.broken_off("a") == "stop"
        gate.set()
        await asyncio.sleep(0)
        assert done.said == []

    run(scene())


@pytest.mark.parametrize("when", ["asked", "awaited"])
def test_what_fails_delays_nothing(run, caplog, when):
    async def scene():
        interludes, done = Interludes(), Done()

        async def fails():
            raise RuntimeError("a defect")

        def play(model):
            if when == "asked":
                raise RuntimeError("a defect")
            return fails()

        interludes.before_start.append(play)
        interludes.start("a", done)
        await done.event.wait()
        assert "a: what was to be done before" in caplog.text

    run(scene())


def test_a_launch_does_not_wait_for_ever(run, caplog, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.01)

    async def scene():
        interludes, done = Interludes(), Done()

        async def hangs():
            await asyncio.Event().wait()

        interludes.before_start.append(lambda model: hangs())
        interludes.start("a", done)
        await done.event.wait()
        assert "took more than 0.01 s" in caplog.text

    run(scene())

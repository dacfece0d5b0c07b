"""Explicit switches that fail, or are ended, or whose models a reload takes away: what is true then."""

from __future__ import annotations

import asyncio

import pytest

from corral.errors import (
    DrainTimeout,
    LoadFailed,
    ModelNotFound,
    QueueFull,
    ShuttingDown,
)
from corral.scheduler.machine import State


def test_what_does_not_finish_in_time_calls_it_off_and_nothing_has_changed(play, alone):
    async def scene(house):
        heard = house.heard()
        async with house.using("a"):
            with pytest.raises(DrainTimeout) as caught:
                await house.switcher.switch("b")
            told = "not switched to b: a has 1 request after 0.01 s; nothing has changed"
            assert caught.value.message == told
            assert house.machine.state("a") is State.READY
            await house.use("a")  # new requests flow again
        assert house.done == [("start", "a")]
        assert house.active == "a"
        assert heard.words() == [("began", "b"), ("failed", "b")]

    play(alone("a", "b", more="switching: {drainTimeout: 0.01}"), scene)


def test_nobody_is_unloaded_in_vain_for_another_one_that_does_not_drain(play, alone):
    async def scene(house):
        await house.use("a")
        async with house.using("b"):
            assert house.processes.running == {"a", "b"}
            with pytest.raises(DrainTimeout, match="b has 1 request"):
                await house.switcher.switch("c")
            assert house.processes.running == {"a", "b"}
            await house.use("a")
            await house.use("b")
        await house.switcher.switch("c")
        assert house.processes.running == {"c"}

    more = """
groups: {pair: {swap: false, exclusive: true, members: [a, b]}}
switching: {drainTimeout: 0.01}
"""
    play(alone("a", "b", "c", more=more), scene)


def test_with_no_time_at_all_it_must_be_idle(play, alone):
    async def scene(house):
        async with house.using("a"), house.using("a"):
            with pytest.raises(DrainTimeout, match="a has 2 requests; nothing has changed"):
                await house.switcher.switch("b")
            assert house.machine.state("a") is State.READY
        assert (await house.switcher.switch("b")).model == "b"

    play(alone("a", "b", more="switching: {drainTimeout: 0}"), scene)


def test_a_load_that_fails_brings_the_model_before_back(play, alone):
    async def scene(house):
        await house.switcher.switch("a")
        house.obey("a")
        task = await house.begin(house.switcher.switch("b"))
        await house.loading("b")
        house.processes.exit("b")
        with pytest.raises(LoadFailed) as caught:
            await task
        assert caught.value.message == (
            "not switched to b: b exited with 1; a is still the active one, and loaded again"
        )
        assert (caught.value.exit_code, caught.value.log_tail) == (1, ("boom",))
        assert house.processes.running == {"a"}
        assert house.active == "a"
        await house.use("a")

    play(alone("a", "b"), scene)


def test_it_says_why_when_that_fails_too(play, alone):
    async def scene(house):
        await house.switcher.switch("a")
        house.obey("a")
        task = await house.begin(house.switcher.switch("b"))
        await house.loading("b")
        house.obey()
        house.processes.exit("b")
        await house.loading("a")
        house.processes.exit("a", LoadFailed("a exited with 2"))
        with pytest.raises(LoadFailed) as caught:
            await task
        assert caught.value.message == (
            "not switched to b: b exited with 1; a, still the active one, could not be loaded again: a exited with 2"
        )
        assert house.active == "a"

    play(alone("a", "b"), scene)


def test_one_that_cannot_be_started_costs_nobody_his_place(play, alone):
    async def scene(house):
        await house.use("a")
        house.processes.problems["b"] = LoadFailed("b: no such file")
        with pytest.raises(LoadFailed) as caught:
            await house.switcher.switch("b")
        told = "not switched to b: b: no such file; a is still the active one"
        assert caught.value.message == told
        assert house.done == [("start", "a")]
        del house.processes.problems["b"]
        await house.switcher.switch("b")  # somebody insists, so no back-off

    play(alone("a", "b"), scene)


def test_without_a_model_before_there_is_none_to_bring_back(play, alone):
    async def scene(house):
        house.processes.problems["b"] = LoadFailed("b: no such file")
        with pytest.raises(LoadFailed, match="no such file; no model is active"):
            await house.switcher.switch("b")
        assert house.active is None

    play(alone("a", "b"), scene)


def test_a_target_that_somebody_unloads_meanwhile(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey("a")
        task = await house.begin(house.switcher.switch("b"))
        await house.loading("b")
        house.obey("a", "b")
        await house.engine.unload(["b"])
        with pytest.raises(LoadFailed, match="b was unloaded; a is still the active one, and"):
            await task
        assert house.processes.running == {"a"}

    play(alone("a", "b"), scene)


def test_what_the_scheduler_refuses_is_passed_on(play, alone):
    async def scene(house):
        async with house.using("a"):
            other = await house.begin(house.use("b"))
            await house.until(lambda: house.machine.waiting("b") == 1)
            with pytest.raises(QueueFull, match=r"not switched to b: .*; nothing has changed"):
                await house.switcher.switch("b")
        await other

    more = "routing: {scheduler: {use: fair, settings: {fair: {maxQueue: 1}}}}"
    play(alone("a", "b", more=more), scene)


def test_a_victim_that_is_slow_to_end_delays_the_switch_and_nothing_else(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        task = await house.begin(house.switcher.switch("b"))
        await house.until(lambda: ("stop", "a") in house.done)
        for _ in range(20):
            await asyncio.sleep(0)
        assert ("start", "b") not in house.done
        house.processes.exit("a")
        await house.loading("b")
        house.processes.ready("b")
        await task

    play(alone("a", "b"), scene)


def test_shutting_down_ends_it(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey("a")
        task = await house.begin(house.switcher.switch("b"))
        await house.loading("b")
        later = await house.begin(house.switcher.switch("a"))
        house.obey("a", "b")
        now = asyncio.Event()
        now.set()
        await house.engine.close(now, 0)
        for ended in (task, later):
            with pytest.raises(ShuttingDown):
                await ended
        assert not house.processes.running

    play(alone("a", "b"), scene)


def test_closing_ends_those_that_are_under_way_and_those_that_wait(play, alone):
    async def scene(house):
        house.obey()
        tasks = [await house.begin(house.switcher.switch(model)) for model in "ab"]
        await house.loading("a")
        await house.switcher.aclose()
        for task in tasks:
            with pytest.raises(ShuttingDown):
                await task
        await house.switcher.aclose()

    play(alone("a", "b"), scene)


def test_a_listener_that_fails_does_not_matter(play, alone, caplog):
    async def scene(house):
        def fails(told):
            raise RuntimeError("a defect")

        house.switcher.listeners.append(fails)
        assert (await house.switcher.switch("a")).model == "a"
        assert "could not be passed on" in caplog.text

    play(alone("a", "b"), scene)


# --- reloads ---------------------------------------------------------------------------------------------------------------------


def test_a_model_may_be_removed_while_its_switch_waits_for_its_turn(play, alone):
    async def scene(house):
        house.obey()
        first = await house.begin(house.switcher.switch("a"))
        second = await house.begin(house.switcher.switch("b"))
        await house.loading("a")
        await house.reload(alone("a"))
        house.processes.ready("a")
        await first
        with pytest.raises(ModelNotFound, match="removed from the configuration"):
            await second

    play(alone("a", "b"), scene)


def test_a_target_may_be_removed_while_it_is_switched_to(play, alone):
    async def scene(house):
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            await house.reload(alone("a"))
            with pytest.raises(ModelNotFound, match="nothing has changed"):
                await task
            await house.use("a")

    play(alone("a", "b"), scene)


def test_the_active_model_may_be_removed(play, alone):
    async def scene(house):
        await house.use("b")
        await house.switcher.switch("a")
        await house.use("b")
        assert house.active == "a"
        await house.reload(alone("b"))
        assert house.active == "b"
        await house.reload(alone("c"))
        assert house.active is None

    play(alone("a", "b"), scene)


def test_a_configuration_may_name_the_active_model(play, alone):
    async def scene(house):
        assert house.active == "b"
        await house.switcher.switch("a")
        await house.reload(alone("a", "b", more="switching: {active: b, drainTimeout: 5}"))
        assert house.active == "a"  # nobody has named another one
        await house.reload(alone("a", "b", "c", more="switching: {active: c}"))
        assert house.active == "c"
        await house.until(lambda: house.processes.running == {"c"})
        await house.reload(alone("a", "b", "c"))
        assert house.active == "c"

    play(alone("a", "b", more="switching: {active: b}"), scene)

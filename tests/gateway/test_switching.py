"""Explicit switches over the scripted world: what they stop and start, who waits, what is true when they fail."""

from __future__ import annotations

import asyncio

import pytest

from corral.errors import (
    Cancelled,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
)
from corral.scheduler.machine import State

# --- a switch ----------------------------------------------------------------------------------------------------------------


def test_a_switch_unloads_what_must_go_then_loads(play, alone):
    async def scene(house):
        heard = house.heard()
        await house.use("a")
        report = await house.switcher.switch("b")
        assert house.done == [("start", "a"), ("stop", "a"), ("start", "b")]
        assert (report.previous, report.model, report.settled) == ("a", "b", None)
        assert [reading.total_mb for reading in report.memory] == [None] * 4
        assert house.active == "b"
        assert heard.words() == [("began", "b"), ("done", "b")]
        assert "b is active after" in str(report)
        assert repr(house.switcher) == "<Switcher: idle, 0 under way or waiting>"

    play(alone("a", "b"), scene)


def test_the_phases_add_up(play, alone):
    async def scene(house):
        house.obey("a")
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            house.clock.time += 3
            house.obey()
        await house.until(lambda: ("stop", "a") in house.done)
        house.clock.time += 4
        house.processes.exit("a")
        await house.loading("b")
        house.clock.time += 5
        house.processes.ready("b")
        report = await task
        phases = (report.drain, report.unload, report.settle, report.load)
        assert phases == (3, 4, 0, 5)
        assert report.elapsed == 12

    play(alone("a", "b"), scene)


def test_only_what_the_policy_says_must_go_goes(play, together):
    async def scene(house):
        await house.use("a")
        async with house.using("c"):
            report = await house.switcher.switch("b")
        assert house.done == [("start", "a"), ("start", "c"), ("start", "b")]
        assert report.previous == "c"
        assert report.unload == 0

    play(together("a", "b", "c"), scene)


def test_what_is_active_and_loaded_is_left_as_it_is(play, alone):
    async def scene(house):
        await house.switcher.switch("a")
        heard = house.heard()
        async with house.using("a"):
            report = await house.switcher.switch("a")
        assert (report.previous, report.model, report.elapsed) == ("a", "a", 0)
        assert report.drain == report.unload == report.settle == report.load == 0
        assert house.done == [("start", "a")]
        assert heard.told == []

    play(alone("a", "b"), scene)


def test_what_is_loaded_already_only_becomes_the_active_one(play, together):
    async def scene(house):
        await house.use("b")
        await house.use("a")
        report = await house.switcher.switch("b")
        assert (report.previous, report.model, report.load) == ("a", "b", 0)
        assert house.done == [("start", "b"), ("start", "a")]
        assert house.active == "b"

    play(together("a", "b"), scene)


def test_the_active_model_that_was_unloaded_meanwhile_is_loaded_again(play, alone):
    async def scene(house):
        await house.switcher.switch("a")
        await house.engine.unload(["a"])
        report = await house.switcher.switch("a")
        assert (report.previous, report.model) == ("a", "a")
        assert house.done == [("start", "a"), ("stop", "a"), ("start", "a")]

    play(alone("a", "b"), scene)


def test_a_name_is_understood_as_in_a_request(play, alone):
    async def scene(house):
        report = await house.switcher.switch("bee")
        assert report.model == "b"
        with pytest.raises(ModelNotFound, match="no model is called `nobody`"):
            await house.switcher.switch("nobody")
        with pytest.raises(InvalidRequest, match="a model of the peer"):
            await house.switcher.switch("far/c")
        assert house.active == "b"

    peer = "peers: {far: {proxy: 'http://127.0.0.1:9', models: [c]}}"
    play(alone("a", "b: {aliases: [bee]}", more=peer), scene)


def test_a_resident_target_in_whose_way_somebody_came_has_it_unloaded(play, alone):
    """One-way groups: `a` may come beside `b`, but `b` is not used beside `a`."""

    async def scene(house):
        await house.use("b")
        await house.use("a")
        assert house.processes.running == {"a", "b"}
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
        report = await task
        assert house.done == [("start", "b"), ("start", "a"), ("stop", "a")]
        assert (report.settle, report.load) == (0, 0)
        assert house.active == "b"

    more = """
groups:
  one: {members: [a], exclusive: false}
  two: {members: [b], exclusive: true}
"""
    play(alone("a", "b", more=more), scene)


# --- who waits -----------------------------------------------------------------------------------------------------------------


def test_what_is_in_flight_finishes_first_and_newcomers_wait_for_the_switch(play, alone):
    async def scene(house):
        async with house.using("a") as first:
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            late = await house.begin(house.use("a"))
            named = await house.begin(house.use("b"))
            await asyncio.sleep(0)
            assert not first.done()
            assert house.done == [("start", "a")]
        assert (await task).model == "b"
        assert (await late).model == "a"
        assert (await named).model == "b"
        assert house.active == "b"

    play(alone("a", "b"), scene)


def test_it_does_not_wait_for_max_wait_nor_for_min_residency(play, alone):
    async def scene(house):
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
        await task
        assert house.clock.time == 1000.0

    more = "routing: {scheduler: {use: fair, settings: {fair: {maxWait: 500, minResidency: 900}}}}"
    play(alone("a", "b", more=more), scene)


def test_under_fifo_it_drains_too(play, alone):
    async def scene(house):
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
        await task

    play(alone("a", "b", more="routing: {scheduler: {use: fifo}}"), scene)


def test_who_asks_for_the_active_model_gets_the_one_that_is_switched_to(play, alone):
    async def scene(house):
        routing = house.gateway.routing

        async def chosen(name):
            await routing.certain(name)
            return routing.choose(name).first.model

        await house.use("a")
        assert await chosen("active") == "a"
        house.obey()
        task = await house.begin(house.switcher.switch("b"))
        waiting = await house.begin(chosen("active"))
        assert await chosen("a") == "a"
        assert house.switcher.under_way.model == "b"
        house.processes.exit("a")
        await house.loading("b")
        assert not waiting.done()
        house.processes.ready("b")
        assert await waiting == "b"
        await task

    play(alone("a", "b"), scene)


def test_who_asks_for_the_active_model_gets_the_one_before_when_it_fails(play, alone):
    async def scene(house):
        routing = house.gateway.routing
        await house.use("a")
        house.processes.problems["b"] = LoadFailed("b: no such file")
        house.processes.checking.clear()
        task = await house.begin(house.switcher.switch("b"))
        waiting = await house.begin(routing.certain("active"))
        house.processes.checking.set()
        with pytest.raises(LoadFailed):
            await task
        await waiting
        assert routing.choose("active").first.model == "a"

    play(alone("a", "b"), scene)


def test_switches_are_made_one_after_the_other_as_they_were_asked_for(play, alone):
    async def scene(house):
        heard = house.heard()
        reports = await asyncio.gather(*(house.switcher.switch(model) for model in "abca"))
        assert [report.model for report in reports] == list("abca")
        assert [report.previous for report in reports] == [None, "a", "b", "c"]
        assert [model for what, model in heard.words() if what == "done"] == list("abca")
        assert house.active == "a"

    play(alone("a", "b", "c"), scene)


def test_one_whose_client_leaves_before_its_turn_is_forgotten(play, alone):
    async def scene(house):
        house.obey()
        first = await house.begin(house.switcher.switch("a"))
        second = await house.begin(house.switcher.switch("b"))
        third = await house.begin(house.switcher.switch("c"))
        await house.loading("a")
        second.cancel()
        await asyncio.wait([second])
        house.obey("a", "c")
        house.processes.ready("a")
        await first
        assert (await third).previous == "a"
        assert ("start", "b") not in house.done

    play(alone("a", "b", "c"), scene)


def test_one_whose_client_leaves_while_it_drains_is_called_off(play, alone):
    async def scene(house):
        heard = house.heard()
        async with house.using("a"):
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.state("a") is State.DRAINING)
            task.cancel()
            await house.until(lambda: house.machine.state("a") is State.READY)
            await house.use("a")
        assert house.done == [("start", "a")]
        assert house.active == "a"
        await house.until(lambda: len(heard.told) == 2)
        assert isinstance(heard.told[1].error, Cancelled)
        assert house.switcher.under_way is None

    play(alone("a", "b"), scene)


def test_one_whose_client_leaves_after_that_goes_on(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        task = await house.begin(house.switcher.switch("b"))
        await house.until(lambda: ("stop", "a") in house.done)
        task.cancel()
        await asyncio.wait([task])
        house.processes.exit("a")
        await house.loading("b")
        house.processes.ready("b")
        await house.until(lambda: house.switcher.under_way is None)
        assert house.active == "b"

    play(alone("a", "b"), scene)


def test_a_target_that_is_loading_for_a_request_is_waited_for(play, alone):
    async def scene(house):
        house.obey()
        request = await house.begin(house.use("b"))
        await house.loading("b")
        task = await house.begin(house.switcher.switch("b"))
        await house.until(lambda: house.machine.waiting("b") == 2)
        house.clock.time += 2
        house.processes.ready("b")
        report = await task
        await request
        assert (report.drain, report.unload, report.settle, report.load) == (0, 0, 0, 2)
        assert house.done == [("start", "b")]

    play(alone("a", "b", more="switching: {drainTimeout: 0}"), scene)


def test_it_is_done_when_the_model_is_ready_though_others_are_served_first(play, alone):
    async def scene(house):
        end = asyncio.Event()
        async with house.using("a"):
            request = await house.begin(house.use("b", end))
            await house.until(lambda: house.machine.waiting("b") == 1)
            task = await house.begin(house.switcher.switch("b"))
            await house.until(lambda: house.machine.waiting("b") == 2)
        report = await task
        assert report.model == "b"
        assert house.machine.in_flight("b") == 1
        assert not request.done()
        end.set()
        await request

    play(alone("a", "b: {parallel: 1}"), scene)

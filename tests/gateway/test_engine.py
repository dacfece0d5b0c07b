"""Leases, facts and orders, unloading and closing, over scripted processes."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from corral.errors import (
    CorralError,
    LoadFailed,
    ModelUnloaded,
    ShuttingDown,
    UpstreamUnreachable,
)
from corral.gateway import engine as engine_module
from corral.scheduler.decision import LAST_GRACE
from corral.scheduler.events import Arrived, Checked, Closed, Departed, Exited, Ticked, Wake
from corral.scheduler.machine import State


def never():
    return asyncio.Event()


def timings(lease):
    return lease.queue_ms, lease.load_ms


# --- leases ---


def test_a_ready_model_admits_without_a_turn_of_the_loop(play, alone):
    async def scene(house):
        await house.use("a")
        lease = house.engine.lease("a")
        entering = lease.__aenter__()
        with pytest.raises(StopIteration):
            entering.send(None)
        assert house.machine.in_flight("a") == 1
        assert lease.upstream is house.processes.upstream("a")
        assert repr(lease) == "<Lease 2 of a: admitted>"
        await lease.__aexit__(None, None, None)
        assert house.machine.in_flight("a") == 0

    play(alone("a"), scene)


def test_a_cold_model_is_loaded_once_for_all_who_wait(play, alone):
    async def scene(house):
        leases = await asyncio.gather(*(house.use("a") for _ in range(20)))
        assert house.processes.orders == [("start", "a")]
        assert {lease.model for lease in leases} == {"a"}
        assert house.engine.last_used == "a"

    play(alone("a"), scene)


def test_everyone_who_waits_hears_why_the_load_failed(play, alone):
    async def scene(house):
        house.obey()
        waiting = [await house.begin(house.use("a")) for _ in range(3)]
        await house.loading("a")
        house.processes.exit("a")
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [error.code for error in errors] == ["model_load_failed"] * 3
        assert [error.exit_code for error in errors] == [1] * 3
        assert len(set(map(id, errors))) == 3

    play(alone("a"), scene)


def test_a_model_that_cannot_start_here_is_refused_and_nobody_is_evicted_for_it(play, alone):
    async def scene(house):
        house.processes.problems["b"] = LoadFailed("no such program")
        await house.use("a")
        with pytest.raises(LoadFailed, match="no such program"):
            await house.use("b")
        assert house.processes.running == {"a"}

    play(alone("a", "b"), scene)


def test_a_check_that_breaks_is_a_load_that_failed(play, alone, caplog):
    async def scene(house):
        house.processes.checking = None  # which cannot be waited for
        with pytest.raises(LoadFailed, match="could not be checked"):
            await house.use("a")

    play(alone("a"), scene)
    assert "checking a failed" in caplog.text


def test_leaving_while_waiting_forgets_the_request_and_not_the_load(play, alone):
    async def scene(house):
        house.obey()
        waiting = await house.begin(house.use("a"))
        await house.loading("a")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert house.machine.waiting("a") == 0
        house.processes.ready("a")
        assert house.machine.state("a") is State.READY
        assert house.machine.in_flight("a") == 0

    play(alone("a"), scene)


def test_leaving_while_the_check_runs_starts_nothing(play, alone):
    async def scene(house):
        house.processes.checking.clear()
        waiting = await house.begin(house.use("a"))
        waiting.cancel()
        await asyncio.wait([waiting])
        house.processes.checking.set()
        await house.until(lambda: house.machine.of(Checked))
        assert house.processes.orders == []

    play(alone("a"), scene)


@pytest.mark.parametrize("first_it", ["is granted", "leaves"])
def test_cancelled_in_the_tick_in_which_it_was_granted_hands_its_place_on(
    play, alone, caplog, first_it
):
    async def scene(house):
        house.obey()
        first = await house.begin(house.use("a", never()))
        second = await house.begin(house.use("a"))
        await house.loading("a")
        steps = [lambda: house.processes.ready("a"), first.cancel]
        for step in steps if first_it == "is granted" else reversed(steps):
            step()
        assert house.machine.in_flight("a") == 1
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).request == 2

    play(alone("a: {parallel: 1}"), scene)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_cancelled_in_the_tick_in_which_it_was_refused(play, alone):
    async def scene(house):
        house.obey()
        waiting = await house.begin(house.use("a"))
        await house.loading("a")
        house.processes.exit("a")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    play(alone("a"), scene)


def test_an_exception_inside_the_block_departs_and_goes_on(play, alone):
    async def scene(house):
        with pytest.raises(ZeroDivisionError):
            async with house.engine.lease("a"):
                raise ZeroDivisionError
        assert house.machine.in_flight("a") == 0

    play(alone("a"), scene)


def test_a_process_that_is_gone_has_no_upstream(play, alone):
    async def scene(house):
        house.obey("b")
        waiting = await house.begin(house.use("a", never()))
        await house.loading("a")
        house.processes.ready("a")
        await house.until(lambda: house.machine.in_flight("a") == 1)
        house.processes.exit("a")
        with pytest.raises(UpstreamUnreachable):
            house.processes.upstream("a")
        assert house.machine.in_flight("a") == 0
        waiting.cancel()
        await asyncio.wait([waiting])
        assert house.machine.in_flight("a") == 0

    play(alone("a"), scene)


# --- what the wait was spent on ---


def test_warm_costs_nothing(play, alone):
    async def scene(house):
        await house.use("a")
        house.clock.time += 60
        assert timings(await house.use("a")) == (0, 0)

    play(alone("a"), scene)


def test_cold_is_the_load(play, alone):
    async def scene(house):
        house.obey()
        waiting = await house.begin(house.use("a"))
        await house.loading("a")
        house.clock.time += 5
        house.processes.ready("a")
        assert timings(await waiting) == (0, 5000)
        assert house.machine.load_seconds("a") == 5

    play(alone("a"), scene)


def test_who_joins_late_counts_only_their_part_of_the_load(play, alone):
    async def scene(house):
        house.obey()
        first = await house.begin(house.use("a"))
        await house.loading("a")
        house.clock.time += 3
        late = await house.begin(house.use("a"))
        house.clock.time += 2
        house.processes.ready("a")
        assert timings(await first) == (0, 5000)
        assert timings(await late) == (0, 2000)

    play(alone("a"), scene)


def test_behind_a_swap_the_queue_and_the_load_are_told_apart(play, alone):
    async def scene(house):
        async with house.using("a"):
            house.obey()
            waiting = await house.begin(house.use("b"))
            house.clock.time += 4  # a serves
        house.clock.time += 1  # a stops
        house.processes.exit("a")
        assert house.processes.running == {"b"}
        house.clock.time += 2
        house.processes.ready("b")
        assert timings(await waiting) == (5000, 2000)

    play(alone("a", "b"), scene)


def test_waiting_for_a_free_place_is_queueing_even_when_the_model_was_reloaded_before(play, alone):
    async def scene(house):
        async with house.using("a"):
            waiting = await house.begin(house.use("a"))
            house.clock.time += 7
        assert timings(await waiting) == (7000, 0)

    play(alone("a: {parallel: 1}"), scene)


def test_a_model_that_crashes_and_is_reloaded_while_a_request_waits(play, alone):
    async def scene(house):
        async with house.using("a"):
            waiting = await house.begin(house.use("a"))
            house.clock.time += 4
            house.obey()
            house.processes.exit("a")
            await house.until(lambda: house.processes.orders.count(("start", "a")) == 2)
            house.clock.time += 3
            house.processes.ready("a")
            assert timings(await waiting) == (4000, 3000)

    play(alone("a: {parallel: 1}"), scene)


# --- explicit loads ---


def test_load_returns_when_ready_with_what_it_cost(play, alone):
    async def scene(house):
        house.obey()
        loading = await house.begin(house.engine.load("a"))
        await house.loading("a")
        house.clock.time += 2
        house.processes.ready("a")
        assert timings(await loading) == (0, 2000)
        assert house.machine.in_flight("a") == 0
        assert timings(await house.engine.load("a")) == (0, 0)

    play(alone("a"), scene)


def test_load_ends_a_back_off(play, alone):
    async def scene(house):
        house.processes.problems["a"] = LoadFailed("no such file")
        with pytest.raises(LoadFailed):
            await house.use("a")
        del house.processes.problems["a"]
        with pytest.raises(LoadFailed, match="no such file") as refused:
            await house.use("a")
        assert refused.value.retry_after > 0
        assert house.processes.orders == []
        await house.engine.load("a")
        assert house.machine.state("a") is State.READY

    play(alone("a"), scene)


def test_concurrent_loads_are_one(play, alone):
    async def scene(house):
        await asyncio.gather(*(house.engine.load("a") for _ in range(10)))
        assert house.processes.orders == [("start", "a")]

    play(alone("a"), scene)


# --- unloading ---


def test_unload_returns_when_the_process_is_gone_and_not_before(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        unloading = await house.begin(house.engine.unload(["a"]))
        await asyncio.sleep(0)
        assert house.machine.state("a") is State.UNLOADING
        assert not unloading.done()
        house.processes.exit("a")
        await unloading
        assert house.engine.last_stop("a").why == "asked to unload"

    play(alone("a"), scene)


def test_unload_of_what_is_not_loaded_is_done_at_once(play, together):
    async def scene(house):
        await house.engine.unload(["a", "b"])
        assert house.processes.orders == []

    play(together("a", "b"), scene)


def test_unload_returns_also_when_the_model_is_loaded_again_at_once(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        unloading = await house.begin(house.engine.unload(["a"]))
        newcomer = await house.begin(house.use("a"))
        house.processes.exit("a")
        await house.loading("a")
        await unloading
        assert house.machine.state("a") is State.LOADING
        house.processes.ready("a")
        await newcomer

    play(alone("a"), scene)


def test_unload_drains_and_force_does_not(play, alone):
    async def scene(house):
        async with house.using("a"):
            unloading = await house.begin(house.engine.unload(["a"]))
            assert house.machine.state("a") is State.DRAINING
            forced = await house.begin(house.engine.unload(["a"], force=True))
            await asyncio.gather(unloading, forced)
            assert house.processes.running == set()

    play(alone("a"), scene)


def test_unloads_at_once_are_each_told(play, together):
    async def scene(house):
        await asyncio.gather(house.use("a"), house.use("b"))
        house.obey()
        unloads = [
            await house.begin(house.engine.unload(models)) for models in (["a"], ["a", "b"], ["b"])
        ]
        house.processes.exit("a")
        await unloads[0]
        assert not unloads[1].done()
        house.processes.exit("b")
        await asyncio.gather(*unloads)
        assert [order[:2] for order in house.processes.orders[2:]] == [("stop", "a"), ("stop", "b")]

    play(together("a", "b"), scene)


def test_unload_refuses_those_who_wait_and_ends_a_load(play, alone):
    async def scene(house):
        house.obey()
        waiting = await house.begin(house.use("a"))
        await house.loading("a")
        unloading = await house.begin(house.engine.unload(["a"]))
        with pytest.raises(ModelUnloaded):
            await waiting
        assert not unloading.done()
        house.processes.exit("a")
        await unloading

    play(alone("a"), scene)


def test_an_unload_whose_caller_leaves_goes_on(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        unloading = await house.begin(house.engine.unload(["a"]))
        unloading.cancel()
        await asyncio.wait([unloading])
        house.processes.exit("a")
        assert house.machine.state("a") is State.UNLOADED
        assert house.engine._watchers == set()

    play(alone("a"), scene)


# --- closing ---


def stops(house):
    return {order[1]: order[2] for order in house.processes.orders if order[0] == "stop"}


def test_closing_gives_idle_models_their_own_time_to_stop(play, together):
    async def scene(house):
        await asyncio.gather(house.use("a"), house.use("b"))
        house.obey("a")
        closing = await house.begin(house.engine.close(never(), 30))
        await house.until(lambda: house.processes.running == {"b"})
        for _ in range(20):  # in which nobody runs out of patience
            await asyncio.sleep(0)
        assert stops(house) == {"a": 7, "b": 10}
        assert not closing.done()
        house.processes.exit("b")
        await closing

    play(together("a: {unloadTimeout: 7}", "b"), scene)


def test_closing_lets_what_is_in_flight_finish_and_refuses_newcomers(play, alone):
    async def scene(house):
        async with house.using("a"):
            closing = await house.begin(house.engine.close(never(), 30))
            assert house.engine.closing
            with pytest.raises(ShuttingDown):
                await house.use("a")
            with pytest.raises(ShuttingDown):
                await house.engine.load("a")
            assert house.processes.running == {"a"}
            assert not closing.done()
        await closing
        assert house.processes.running == set()

    play(alone("a"), scene)


@pytest.mark.parametrize("how", ["timeout", "now"])
def test_closing_stops_what_does_not_end(play, alone, how):
    async def scene(house):
        async with house.using("a"):
            now = never()
            closing = await house.begin(house.engine.close(now, 0.01 if how == "timeout" else 30))
            assert stops(house) == {}
            if how == "now":
                now.set()
            await closing
            assert stops(house) == {"a": LAST_GRACE}
            assert house.processes.running == set()

    play(alone("a"), scene)


def test_closing_shortens_the_time_of_who_is_already_stopping(play, alone):
    async def scene(house):
        await house.use("a")
        house.obey()
        now = never()
        closing = await house.begin(house.engine.close(now, 30))
        assert stops(house) == {"a": 10}
        now.set()
        await house.until(lambda: stops(house) == {"a": LAST_GRACE})
        house.processes.exit("a")
        await closing

    play(alone("a"), scene)


def test_closing_refuses_those_who_wait_and_ends_their_loads(play, alone):
    async def scene(house):
        house.obey()
        waiting = [await house.begin(house.use("a")), await house.begin(house.engine.load("b"))]
        await house.loading("a")
        closing = await house.begin(house.engine.close(never(), 30))
        for one in waiting:
            with pytest.raises(ShuttingDown):
                await one
        await house.until(lambda: "a" in stops(house))
        house.processes.exit("a")
        await closing

    play(alone("a", "b"), scene)


def test_closing_while_a_check_runs(play, alone):
    async def scene(house):
        house.processes.checking.clear()
        waiting = await house.begin(house.use("a"))
        await house.engine.close(never(), 30)
        with pytest.raises(ShuttingDown):
            await waiting
        house.processes.checking.set()
        await house.until(lambda: house.machine.of(Checked))
        assert house.processes.orders == []

    play(alone("a"), scene)


def test_a_process_that_cannot_be_ended_does_not_hold_corral(play, alone, monkeypatch, caplog):
    monkeypatch.setattr(engine_module, "LAST_WAIT", 0.01)

    async def scene(house):
        await house.use("a")
        house.obey()
        await house.engine.close(never(), 0.01)
        assert house.processes.running == {"a"}

    play(alone("a"), scene)
    assert "a did not stop" in caplog.text


def test_closing_ends_those_who_follow_a_log(play, together):
    async def scene(house):
        news = house.processes.log("b").follow()
        house.processes.log("b").write(b"the last words")
        await house.engine.close(never(), 1)
        assert [piece async for piece in news] == [b"the last words"]

    play(together("a", "b"), scene)


def test_closing_can_be_given_up(play, alone):
    async def scene(house):
        async with house.using("a"):
            closing = await house.begin(house.engine.close(never(), 30))
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing

    play(alone("a"), scene)


# --- defects ---


def test_a_scheduler_that_fails_at_an_arrival_refuses_it_and_goes_on(play, alone, caplog):
    async def scene(house):
        house.machine.fails = lambda fact: isinstance(fact, Arrived) and fact.request == 1
        with pytest.raises(CorralError) as refused:
            await house.use("a")
        assert refused.value.code == "internal_error"
        await house.use("a")

    play(alone("a"), scene)
    assert "the scheduler failed on Arrived(request=1" in caplog.text


def test_a_scheduler_that_fails_at_a_departure_harms_nobody_else(play, alone):
    async def scene(house):
        house.machine.fails = lambda fact: isinstance(fact, Departed) and fact.request == 1
        await house.use("a")
        await house.use("a")
        assert house.machine.in_flight("a") == 1  # which is lost, and costs a drain its patience

    play(alone("a"), scene)


def test_a_start_that_breaks_is_a_load_that_failed(play, alone, monkeypatch, caplog):
    async def scene(house):
        def broken(model):
            raise RuntimeError("no more processes")

        monkeypatch.setattr(house.processes, "start", broken)
        with pytest.raises(LoadFailed, match="no more processes"):
            await house.use("a")
        monkeypatch.undo()
        await house.engine.load("a")

    play(alone("a"), scene)
    assert "a could not be started" in caplog.text


def test_an_order_for_nobody_costs_only_itself(play, alone, monkeypatch):
    async def scene(house):
        handle = house.machine.handle

        def babbling(fact, now):
            if isinstance(fact, Arrived):
                return [engine_module.Admit(99), *handle(fact, now)]
            return handle(fact, now)

        monkeypatch.setattr(house.machine, "handle", babbling)
        assert (await house.use("a")).request == 1

    play(alone("a"), scene)


# --- the clock ---


def test_an_alarm_in_the_past_rings_at_once(play, alone):
    async def scene(house):
        house.engine._set_alarm(house.clock.time - 5)
        await house.until(lambda: house.machine.of(Ticked))
        assert house.engine._alarm is None

    play(alone("a"), scene)


def test_an_alarm_is_replaced_not_added_to(play, alone, monkeypatch):
    async def scene(house):
        wakes = iter([Wake(house.clock.time + 3600), Wake(house.clock.time), Wake(None)])
        handle = house.machine.handle
        monkeypatch.setattr(
            house.machine, "handle", lambda fact, now: [*handle(fact, now), next(wakes)]
        )
        house.engine.post(Exited("a"))
        far = house.engine._alarm
        house.engine.post(Exited("a"))
        assert far.cancelled()
        near = house.engine._alarm
        house.engine.post(Exited("a"))
        assert near.cancelled()
        assert house.engine._alarm is None
        monkeypatch.undo()

    play(alone("a"), scene)


def test_an_idle_model_is_unloaded_by_its_alarm(play, alone):
    async def scene(house):
        house.obey("a")
        await house.use("a")
        alarm = house.engine._alarm
        assert alarm is not None
        house.clock.time += 60
        house.engine._tick()
        await house.until(lambda: house.processes.running == set())
        assert "idle for 60 s" in house.engine.last_stop("a").why

    play(alone("a: {ttl: 60}"), scene)


def test_closing_leaves_no_alarm_behind(play, alone):
    async def scene(house):
        await house.use("a")
        await house.engine.close(never(), 5)
        assert house.engine._alarm is None
        assert house.machine.of(Closed)

    play(alone("a: {ttl: 60}"), scene)


# --- all of it at once ---


class Storm:
    """Clients, and what may befall them."""

    def __init__(self, house, seed):
        self.house, self.dice = house, random.Random(seed)
        self.models = list(house.config.models)
        self.tasks = []
        befalls = (self._crash, self._disobey, self._unload, self._come_up, self._leave)
        self._mischief = (*befalls, lambda: None, lambda: None, lambda: None)

    async def rage(self, turns):
        for _ in range(turns):
            self.house.clock.time += self.dice.random()
            self._begin(self._client(self._any()))
            self.dice.choice(self._mischief)()
            if self.dice.randrange(3):
                await asyncio.sleep(0)

    async def settle(self):
        """From now on every process does what it is told, also those that were told before."""
        self.house.obey(*self.models)
        for _ in range(50):
            self._come_up()
            for model in self.models:
                if self.house.machine.state(model) is State.UNLOADING:
                    self.house.processes.exit(model)
            await asyncio.sleep(0)

    async def _client(self, model):
        try:
            async with self.house.engine.lease(model) as lease:
                for _ in range(self.dice.randrange(4)):
                    await asyncio.sleep(0)
                lease.upstream  # noqa: B018 - may be gone
        except CorralError as error:
            return error.code
        return "served"

    def _begin(self, work):
        self.tasks.append(asyncio.create_task(work, name="in the storm"))

    def _any(self):
        return self.dice.choice(self.models)

    def _leave(self):
        self.dice.choice(self.tasks).cancel()

    def _crash(self):
        self.house.processes.exit(self._any())

    def _disobey(self):
        self.house.processes.obedient ^= {self._any()}

    def _unload(self):
        self._begin(self.house.engine.unload([self._any()]))

    def _come_up(self):
        for model in self.models:
            self.house.processes.ready(model)


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_requests_that_leave_loads_that_fail_and_crashes(play, alone, seed, caplog):
    """Every lease ends, and (see `House.leave`) every arrival departs once."""
    caplog.set_level(logging.CRITICAL)

    async def scene(house):
        storm = Storm(house, seed)
        await storm.rage(turns=400)
        await storm.settle()
        house.clock.time += 3600
        await house.engine.close(never(), 5)
        ends = await asyncio.gather(*storm.tasks, return_exceptions=True)
        assert [end for end in ends if isinstance(end, Exception)] == []
        assert ends.count("served") > 20
        assert house.engine._watchers == set()
        assert house.processes.running == set()

    play(alone("a", "b: {parallel: 2}", "c: {concurrencyLimit: 9}"), scene)

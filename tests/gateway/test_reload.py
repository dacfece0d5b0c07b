"""Reloads over scripted processes: one at a time, in one step, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from corral.config.changes import Changes
from corral.errors import ConfigError, CorralError, LoadFailed, ModelNotFound, ShuttingDown
from corral.gateway.reload import Reloader, summary
from corral.scheduler.events import Reloaded
from corral.scheduler.machine import State


def test_a_stream_of_a_model_that_did_not_change_goes_on(play, together):
    async def scene(house):
        async with house.using("a") as use:
            done = await house.reload(together("a: {ttl: 5}", "b", "c"))
            assert (done.added, done.updated, done.kept) == (("c",), ("a",), ("b",))
            assert house.machine.in_flight("a") == 1
            assert not use.done()
            assert house.processes.orders == [("start", "a")]
        assert house.machine.ttl_deadline("a") == house.clock.time + 5
        await house.use("c")

    play(together("a", "b"), scene)


def test_a_changed_model_is_another_process_for_who_comes_next(play, alone):
    async def scene(house):
        async with house.using("a"):
            done = await house.reload(alone("a").replace("serve a", "serve a --other"))
            assert done.restarted == ("a",)
            waiting = await house.begin(house.use("a"))
            assert house.machine.state("a") is State.DRAINING
            assert house.machine.waiting("a") == 1
        await waiting
        starts = [order for order in house.processes.orders if order[0] == "start"]
        assert starts == [("start", "a")] * 2

    play(alone("a"), scene)


def test_who_waits_for_a_removed_model_hears_why(play, alone):
    async def scene(house):
        async with house.using("b"):
            waiting = await house.begin(house.use("a"))
            await house.reload(alone("b"))
            with pytest.raises(ModelNotFound, match="a: it was removed from the configuration"):
                await waiting
        with pytest.raises(ModelNotFound):
            house.gateway.catalog.resolve("a")

    play(alone("a", "b"), scene)


def test_a_model_that_is_used_while_it_is_removed_finishes(play, alone):
    async def scene(house):
        async with house.using("a") as use:
            await house.reload(alone("b"))
            assert house.machine.in_flight("a") == 1
            assert not use.done()
            assert house.engine.last_used is None
        await house.until(lambda: "a" not in house.machine.models)
        assert not house.processes.running

    play(alone("a", "b"), scene)


def test_who_waits_for_an_unload_of_a_model_that_is_then_removed(play, alone):
    async def scene(house):
        async with house.using("a"):
            unloading = await house.begin(house.engine.unload(["a", "b"]))
            await house.reload(alone("c"))
            assert not unloading.done()
        await unloading

    play(alone("a", "b", "c"), scene)


def test_a_mistake_changes_nothing_and_is_told_to_everybody(play, alone, caplog):
    async def scene(house):
        reports = []
        house.gateway.reloader.listeners.append(reports.append)
        before = house.gateway.config
        await house.use("a")
        with pytest.raises(ConfigError) as caught:
            await house.reload('models:\n  a: {cmd: "x ${PORT}", ttll: 5}\nlogLevel: loud\n')
        assert [problem.line for problem in caught.value.problems] == [2, 3]
        assert reports[0].error is caught.value
        assert house.gateway.config is before
        assert not house.machine.of(Reloaded)
        assert house.machine.state("a") is State.READY
        await house.reload(alone("a", "b"))
        assert reports[1].error is None

    with caplog.at_level(logging.INFO, "corral"):
        play(alone("a"), scene)
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "unknown key `ttll`" in told[0].getMessage()
    assert "loud" in told[0].getMessage()


def test_a_defect_while_reading_is_not_the_end(play, alone, caplog):
    async def scene(house):
        house.gateway.reloader._read = lambda: 1 / 0
        with pytest.raises(CorralError, match="its log has the reason"):
            await house.gateway.reloader.reload()
        await house.use("a")

    play(alone("a"), scene)
    assert "ZeroDivisionError" in caplog.text


def test_a_listener_that_fails_disturbs_nobody(play, alone, caplog):
    async def scene(house):
        def broken(_):
            raise RuntimeError

        house.gateway.reloader.listeners.append(broken)
        house.gateway.inforce._watchers.append(broken)
        assert (await house.reload(alone("b"))).added == ("b",)

    play(alone("a"), scene)
    assert "could not be passed on" in caplog.text
    assert "could not take the new configuration over" in caplog.text


def slowly(house, texts):
    """Reading takes until the test says so; what is read is the text of that moment. `(begun, go on)`."""
    begun, go_on = [], threading.Semaphore(0)
    read = house.gateway.reloader._read

    def reading():
        config = read()
        begun.append(config)
        assert go_on.acquire(timeout=30)
        return config

    house.gateway.reloader._read = reading
    return begun, go_on


def test_an_edit_during_a_reload_is_not_lost(play, alone):
    async def scene(house):
        reloader = house.gateway.reloader
        begun, go_on = slowly(house, [])
        house.text = alone("a", "b")
        first = await house.begin(reloader.reload())
        await house.until(lambda: begun)
        house.text = alone("a", "b", "c")
        later = [await house.begin(reloader.reload()) for _ in range(5)]
        for _ in range(10):
            reloader.trigger()
        go_on.release()
        assert (await first).added == ("b",)
        go_on.release()
        assert {(await one).added for one in later} == {("c",)}
        assert len(begun) == 2  # one for all who asked meanwhile

    play(alone("a"), scene)


def test_who_leaves_does_not_take_the_reload_along(play, alone):
    async def scene(house):
        begun, go_on = slowly(house, [])
        house.text = alone("b")
        reload = house.gateway.reloader.reload
        first, second = asyncio.create_task(reload()), asyncio.create_task(reload())
        await house.until(lambda: begun)
        first.cancel()
        go_on.release()
        assert (await second).added == ("b",)

    play(alone("a"), scene)


def test_what_is_new_is_in_force_all_at_once(play, alone):
    """Whoever watches the configuration finds its models in the scheduler and on the machine; and nothing comes in between."""

    async def scene(house):
        seen = []

        def watch(config):
            seen.append([house.machine.state(model) for model in config.models])
            for model in config.models:
                assert house.processes.log(model)
                assert house.gateway.catalog.resolve(model) == model

        house.gateway.inforce.watch(watch)
        await house.reload(alone("b", "c"))
        assert seen == [[State.UNLOADED], [State.UNLOADED] * 2]

    play(alone("a"), scene)


def test_only_what_is_newly_named_is_preloaded(play, together):
    hooks = "hooks: {on_startup: {preload: [%s]}}\n"

    async def scene(house):
        await house.reload(together("a", "b", more=hooks % "a, b"))
        await house.until(lambda: house.machine.state("b") is State.READY)
        assert house.machine.state("a") is State.UNLOADED

    play(together("a", "b", more=hooks % "a"), scene)


def test_preloading_goes_on_after_one_that_fails(play, together, caplog):
    async def scene(house):
        house.processes.problems["a"] = LoadFailed("a: no program")
        house.gateway.reloader.preload(["a", "b"])
        await house.until(lambda: house.machine.state("b") is State.READY)

    play(together("a", "b"), scene)
    assert "preloading a: a: no program" in caplog.text


def test_what_is_known_of_the_new_launches_is_learned(play, alone):
    class Times:
        def __init__(self):
            self.specs = {}

        def adopt(self, specs):
            self.specs = specs

        async def load(self):
            return dict.fromkeys(self.specs, 7.0)

    async def scene(house):
        times = Times()
        reloader = Reloader(house.gateway.inforce, house.engine, times, house._read)
        house.text = (
            alone("a", "b").replace("serve a", "serve a --other")
            + "  z: {cmd: z, proxy: 'http://127.0.0.1:1'}\n"
        )
        await reloader.reload()
        assert house.machine.load_costs() == {"a": 7.0, "z": 7.0}

    play(alone("a", "b"), scene)


def test_a_check_of_the_old_command_says_nothing_about_the_new_one(play, alone):
    async def scene(house):
        house.processes.checking.clear()
        house.processes.problems["a"] = LoadFailed("a: no such program")
        waiting = await house.begin(house.use("a"))
        await house.reload(alone("a").replace("serve a", "serve a --other"))
        house.processes.problems.clear()
        house.processes.checking.set()
        assert (await waiting).model == "a"

    play(alone("a"), scene)


def test_leaving_while_a_reload_reads(play, alone):
    async def scene(house):
        reloader = house.gateway.reloader
        begun, go_on = slowly(house, [])
        waiting = await house.begin(reloader.reload())
        await house.until(lambda: begun)
        await reloader.aclose()
        go_on.release()
        with pytest.raises(ShuttingDown):
            await waiting
        with pytest.raises(ShuttingDown):
            await reloader.reload()
        reloader.trigger()
        assert not house.machine.of(Reloaded)

    play(alone("a"), scene)


def test_a_summary():
    done = Changes(added=("x", "y"), restarted=("a",), kept=("b",), settings=("apiKeys",))
    assert summary(done) == "added x, y; restarted when used next a; settings apiKeys"
    assert summary(Changes(kept=("a",))) == "nothing has changed"


def test_a_request_whose_target_is_removed_before_it_is_passed_on(play, alone):
    async def scene(house):
        target, _ = house.gateway.routing.split("a/x")
        await house.reload(alone("b"))
        with pytest.raises(ModelNotFound, match="a: it was removed from the configuration"):
            await house.gateway.inference.relayed(target, b"/x", None, None, None)

    play(alone("a", "b"), scene)


def test_notes_are_told_once(play, alone, caplog):
    async def scene(house):
        for _ in range(2):
            await house.reload(alone("a") + "logToStdout: both\n")

    with caplog.at_level(logging.INFO, "corral"):
        play(alone("a"), scene)
    assert caplog.text.count("takes effect when corral is started again") == 1


def test_many_reloads_beside_many_requests(play, together):
    """Whatever is edited meanwhile, every request of a model that is always there is served."""

    async def scene(house):
        async def client(model):
            for _ in range(30):
                await house.use(model)
                await asyncio.sleep(0)

        clients = [asyncio.create_task(client(m)) for m in "ab" * 3]
        for n in range(20):
            extra = ["c"] if n % 2 else []
            text = together(f"a: {{ttl: {n}}}", "b", *extra)
            await house.reload(text.replace("serve b", f"serve b {n % 3}"))
        await asyncio.gather(*clients)

    play(together("a", "b"), scene)

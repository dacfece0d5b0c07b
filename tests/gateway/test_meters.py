"""What corral counts of requests and of models."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from corral.dialects import endpoints
from corral.dialects.usage import Usage
from corral.errors import LoadFailed
from corral.gateway import meters as module
from corral.gateway import metrics
from corral.gateway.exchange import Exchange
from corral.gateway.meters import Histogram, Meters
from corral.scheduler import events

CHAT = endpoints.find("POST", "/v1/chat/completions")
JSON = [(b"content-type", b"application/json")]


def meters_of(house):
    gateway = house.gateway
    return Meters(gateway.inforce, house.engine, gateway.ledger)


def shown(meters):
    """{metric's name: {label values: value}}."""
    return {metric.name: dict(series) for metric, series in meters.families()}


def request(house, model="a", endpoint=CHAT, *, status=200, **known):
    """One exchange, over; its time is set after it was closed."""
    ledger = house.gateway.ledger
    path = endpoint.path if endpoint else "/anything"
    exchange = Exchange("POST", path, endpoint, "r", "", "", [])
    ledger.open(exchange)
    exchange.model, exchange.status = model, status
    exchange.answer_headers = JSON if status else []
    for name, value in known.items():
        setattr(exchange, name, value)
    ledger.close(exchange)
    return exchange


# --- histograms ----------------------------------------------------------------------------------------------------


def test_a_value_on_a_bound_is_not_above_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 99.0):
        histogram.add(value)
    spread = histogram.spread()
    assert spread.buckets() == [(1.0, 2), (2.0, 4), (math.inf, 5)]
    assert spread.total == 104.0
    histogram.add(1.0)
    assert spread.buckets()[-1] == (math.inf, 5)  # it is what was so then


def test_a_histogram_counts_every_value_once():
    chance = random.Random(7)
    histogram, values = Histogram(module.SECONDS), []
    for _ in range(500):
        values.append(chance.expovariate(0.2))
        histogram.add(values[-1])
    spread = histogram.spread()
    assert [count for _, count in spread.buckets()] == [
        sum(value <= bound for value in values) for bound, _ in spread.buckets()
    ]
    assert spread.total == pytest.approx(sum(values))
    assert bool(histogram)
    assert not Histogram((1.0,))


# --- requests ------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_model_route_and_status(play, world):
    async def scene(house):
        meters = meters_of(house)
        for status in (200, 200, 429):
            request(house, status=status)
        request(house, "b", endpoints.find("GET", "/props"))
        assert shown(meters)["corral_requests_total"] == {
            ("a", "/v1/chat/completions", "200"): 2,
            ("a", "/v1/chat/completions", "429"): 1,
            ("b", "/props", "200"): 1,
        }

    play(world.alone("a", "b"), scene)


def test_one_route_is_one_however_it_was_reached(play, world):
    async def scene(house):
        meters = meters_of(house)
        for method, path in (("POST", "/v1/embeddings"), ("POST", "/v/embeddings")):
            request(house, endpoint=endpoints.find(method, path))
        request(house, endpoint=None)
        assert shown(meters)["corral_requests_total"] == {
            ("a", "/v1/embeddings", "200"): 2,
            ("a", "other", "200"): 1,
        }

    play(world.alone("a"), scene)


def test_nothing_that_anybody_sends_becomes_a_label(play, world):
    async def scene(house):
        meters = meters_of(house)
        for n in range(100):
            request(house, f"guess-{n}", status=404)
        request(house, "", status=400)
        assert shown(meters)["corral_requests_total"] == {
            ("(none)", "/v1/chat/completions", "404"): 100,
            ("(none)", "/v1/chat/completions", "400"): 1,
        }
        assert len(meters._series) <= 1

    play(world.alone("a"), scene)


def test_a_client_that_left_has_nginxs_status(play, world):
    async def scene(house):
        meters = meters_of(house)
        request(house, status=0)
        assert shown(meters)["corral_requests_total"] == {("a", "/v1/chat/completions", "499"): 1}

    play(world.alone("a"), scene)


def test_times_tokens_and_speeds(play, world):
    async def scene(house):
        meters = meters_of(house)
        usage = Usage(100, 50, 30, prompt_per_second=800.0, tokens_per_second=42.0)
        known = {
            "queue_ms": 300,
            "usage": usage,
            "first_byte_at": asyncio.get_running_loop().time(),
        }
        one = request(house, **known)
        request(house, usage=Usage(7, 3))
        told = shown(meters)
        at = ("a", "/v1/chat/completions")
        assert told["corral_input_tokens_total"] == {at: 107}
        assert told["corral_output_tokens_total"] == {at: 53}
        assert told["corral_cached_tokens_total"] == {at: 30}
        assert told["corral_output_tokens_per_second"][at].total == 42.0
        assert told["corral_prompt_tokens_per_second"][at].total == 800.0
        assert told["corral_queue_wait_seconds"][at].total == 0.3
        duration = told["corral_request_duration_seconds"][at]
        assert duration.buckets()[-1] == (math.inf, 2)
        assert duration.total >= one.ended_at - one.began_at
        assert told["corral_request_first_byte_seconds"][at].buckets()[-1] == (math.inf, 1)

    play(world.alone("a"), scene)


def test_what_was_never_measured_is_not_shown(play, world):
    async def scene(house):
        meters = meters_of(house)
        request(house, status=503, answer_headers=[])
        told = shown(meters)
        for name in (
            "corral_queue_wait_seconds",  # it was never admitted
            "corral_output_tokens_per_second",
            "corral_request_first_byte_seconds",
        ):
            assert told[name] == {}

    play(world.alone("a"), scene)


@pytest.mark.parametrize(
    ("status", "error", "cut"), [(200, "the engine died", 1), (200, "", 0), (502, "unreachable", 0)]
)
def test_an_answer_that_was_cut_is_no_success(play, world, status, error, cut):
    async def scene(house):
        meters = meters_of(house)
        request(house, status=status, error=error)
        assert sum(shown(meters)["corral_requests_cut_total"].values()) == cut

    play(world.alone("a"), scene)


def test_a_peers_models_are_counted_under_their_full_name(play, world):
    text = world.alone("a", more="peers: {far: {proxy: 'http://far', models: [big, x/y]}}\n")

    async def scene(house):
        meters, ledger = meters_of(house), house.gateway.ledger
        request(house, "far/big")
        flying = ledger.open(Exchange("POST", CHAT.path, CHAT, "r", "", "", []))
        flying.model = "far/x/y"
        told = shown(meters)
        assert ("far/big", CHAT.path, "200") in told["corral_requests_total"]
        assert told["corral_requests_in_flight"] == {("a",): 0, ("far/big",): 0, ("far/x/y",): 1}
        ledger.close(flying)

    play(text, scene)


# --- models --------------------------------------------------------------------------------------------------------


def test_who_serves_who_waits_and_who_is_there(play, world):
    async def scene(house):
        meters = meters_of(house)
        async with house.using("a"):
            waiting = await house.begin(house.use("b"))
            told = shown(meters)
            assert told["corral_requests_in_flight"] == {("a",): 1, ("b",): 0}
            assert told["corral_queue_length"] == {("a",): 0, ("b",): 1}
            assert told["corral_model_resident"] == {("a",): 1, ("b",): 0}
        await waiting
        assert shown(meters)["corral_model_resident"] == {("a",): 0, ("b",): 1}

    play(world.alone("a", "b"), scene)


def test_loads_and_what_they_took(play, world):
    async def scene(house):
        meters = meters_of(house)
        house.obey()
        loading = await house.begin(house.use("a"))
        await house.loading("a")
        house.clock.time += 7
        house.processes.ready("a")
        await loading
        told = shown(meters)
        assert told["corral_loads_total"] == {("a", "ready"): 1}
        assert told["corral_load_seconds"][("a",)].total == pytest.approx(7)

    play(world.alone("a"), scene)


def test_a_load_may_fail_before_or_after_its_process_began_or_be_stopped(play, world):
    async def scene(house):
        meters = meters_of(house)
        house.processes.problems["a"] = LoadFailed("no such file")
        with pytest.raises(LoadFailed):
            await house.use("a")
        house.obey()
        failing = await house.begin(house.use("b"))
        await house.loading("b")
        house.processes.exit("b")
        with pytest.raises(LoadFailed):
            await failing
        stopped = await house.begin(house.use("c"))
        await house.loading("c")
        unloading = await house.begin(house.engine.unload(["c"]))
        house.processes.ready("c")  # too late
        house.processes.exit("c")
        await unloading
        await asyncio.wait([stopped])
        stopped.exception()
        told = shown(meters)
        assert told["corral_loads_total"] == {
            ("a", "failed"): 1,
            ("b", "failed"): 1,
            ("c", "stopped"): 1,
        }
        assert told["corral_load_seconds"] == {}
        assert told["corral_evictions_total"] == {}

    play(world.alone("a", "b", "c"), scene)


MATRIX = "matrix: {vars: {x: a, y: b}, sets: {one: x, other: y}}\n"


async def swapped(house):
    await house.use("b")


async def idle(house):
    house.clock.time += 61
    house.engine.post(events.Ticked())


async def unloaded(house):
    await house.engine.unload(["a"])


async def forced(house):
    async with house.using("a"):
        await house.engine.unload(["a"], force=True)


async def out_of_time(house):
    async with house.using("a"):
        unloading = await house.begin(house.engine.unload(["a"]))
        house.clock.time += 11
        house.engine.post(events.Ticked())
        await unloading


async def crashed(house):
    house.processes.exit("a")


async def closed(house):
    await house.engine.close(asyncio.Event(), 5)


async def removed(house):
    await house.reload(house.text.replace("  a: {", "  z: {").replace("x: a", "x: z"))


async def changed(house):
    await house.reload(house.text.replace("serve a", "serve a --other"))


@pytest.mark.parametrize(
    ("more", "act", "reason"),
    [
        ("", swapped, "group"),
        (MATRIX, swapped, "matrix"),
        ("globalTTL: 60\n", idle, "ttl"),
        ("", unloaded, "unload"),
        ("", forced, "unload"),
        ("", out_of_time, "unload"),
        ("", crashed, "crash"),
        ("", closed, "shutdown"),
        ("", removed, "reload"),
        ("", changed, "reload"),
    ],
)
def test_why_a_model_left(play, world, more, act, reason):
    """The words are the scheduler's own: here it says them."""

    async def scene(house):
        meters = meters_of(house)
        await house.use("a")
        await act(house)
        await house.until(lambda: "a" not in house.processes.running)
        assert shown(meters)["corral_evictions_total"] == {("a", reason): 1}

    play(world.alone("a", "b", more=more), scene)


def test_an_unheard_of_reason_is_counted_too(play, world):
    async def scene(house):
        meters = meters_of(house)
        assert meters._reason(events.Stop("a", 1.0, "a whim")) == "other"

    play(world.alone("a"), scene)


def test_a_removed_models_counters_stay(play, world):
    async def scene(house):
        meters = meters_of(house)
        request(house)
        await house.reload(world.alone("b"))
        request(house, "b")
        told = shown(meters)
        assert set(told["corral_requests_total"]) == {
            ("a", CHAT.path, "200"),
            ("b", CHAT.path, "200"),
        }
        assert told["corral_queue_length"] == {("b",): 0}

    play(world.alone("a"), scene)


def test_a_model_that_comes_later_has_its_own_name(play, world):
    async def scene(house):
        meters = meters_of(house)
        request(house, "b", status=404)
        await house.reload(world.alone("a", "b"))
        request(house, "b")
        assert shown(meters)["corral_requests_total"] == {
            ("(none)", CHAT.path, "404"): 1,
            ("b", CHAT.path, "200"): 1,
        }

    play(world.alone("a"), scene)


def test_every_family_has_a_row_and_its_labels(play, world):
    async def scene(house):
        meters = meters_of(house)
        await house.use("a")
        await house.engine.unload(["a"])
        request(house, usage=Usage(1, 1, 1, prompt_per_second=1.0, tokens_per_second=1.0))
        for metric, series in meters.families():
            assert metric in metrics.METRICS
            for values, _ in series:
                assert len(values) == len(metric.labels), metric.name

    play(world.alone("a"), scene)


def test_the_rows_are_well_named():
    names = [metric.name for metric in metrics.METRICS]
    assert len(set(names)) == len(names)
    for metric in metrics.METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not metric.help.endswith(".")

"""Made-up demand: as much as was asked for, always the same, each of its own shape."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from corral.simulator.generators import BLOCK, SHAPES, Demand, generate
from corral.simulator.times import Pace, Times

MODELS = ("main", "second", "third")


def made(shape, seed=1, models=MODELS, **demand):
    return generate(shape, Demand(models, **demand), Times(Pace(service=2.0)), Random(seed).random)


def names(trace):
    return [trace.models[n] for n in trace.model]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_seed_makes_the_same_trace(shape):
    assert made(shape) == made(shape)
    assert made(shape) != made(shape, seed=2)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_requests_as_fast_as_asked_in_order(shape):
    trace = made(shape, requests=20_000, rate=2.0)
    assert len(trace) == 20_000
    assert trace.out_of_order == 0
    assert all(before <= after for before, after in pairwise(trace.arrivals))
    assert 20_000 / trace.arrivals[-1] == pytest.approx(2.0, rel=0.15)
    assert min(trace.service) >= 1.0
    assert set(trace.models) == set(MODELS)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_model_and_one_caller_are_enough(shape):
    trace = made(shape, models=("only",), requests=200, callers=1)
    assert len(trace) == 200
    assert trace.models == ("only",)


def test_steady_has_favourites_and_all_callers():
    trace = made("steady", requests=6000, callers=3)
    share = Counter(names(trace))
    assert share["main"] > 1.5 * share["second"] > 1.5 * share["third"] > 0
    assert sorted(trace.callers) == ["user-1", "user-2", "user-3"]


def test_bursts_are_of_one_model():
    trace = names(made("bursty", requests=6000))
    changes = sum(before != after for before, after in pairwise(trace))
    assert changes < 6000 / 5


def test_ping_pong_never_asks_for_a_model_twice_in_a_row():
    trace = made("ping-pong", requests=7, rate=0.5)
    assert names(trace) == [*MODELS, *MODELS, "main"]
    assert list(trace.arrivals) == [0, 2, 4, 6, 8, 10, 12]


def test_agents_ask_their_orchestrator_first_then_workers():
    trace = made("agents", requests=3000, callers=2)
    assert sorted(trace.callers) == ["agent-1", "agent-2"]
    for agent in range(2):
        asked = [m for m, c in zip(names(trace), trace.caller, strict=True) if c == agent]
        assert asked[0] == "main"
        assert all("main" not in (a, b) or a != b for a, b in pairwise(asked))


def test_batches_come_in_blocks_beside_the_chat():
    trace = made("chat-and-batch", requests=5000)
    batch = trace.callers.index("batch")
    blocks = Counter(
        at for at, caller in zip(trace.arrivals, trace.caller, strict=True) if caller == batch
    )
    whole = list(blocks.values())[:-1]  # the last may be cut off
    assert set(whole) == {BLOCK}
    chat = {m for m, c in zip(names(trace), trace.caller, strict=True) if c != batch}
    assert chat == {"main"}

"""The event loop: small traces to the second, and what holds for any."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.scheduler.rules import machine_for
from corral.simulator.report import report
from corral.simulator.run import simulate
from corral.simulator.times import Pace, Times


def test_a_request_waits_for_the_load(bench):
    run, known = bench.play(bench.config("a"), bench.trace((0, "a")))
    assert list(run.waits) == [10.0]
    assert (known.loads, known.swaps, known.seconds) == (1, 0, 11.0)
    assert (run.serving, run.loading, run.idle) == (1.0, 10.0, 0.0)


def test_a_swap_takes_drain_stop_and_load(bench):
    run, known = bench.play(bench.config("ab"), bench.trace((0, "a", "x", 5.0), (12, "b")))
    assert list(run.waits) == [10.0, 3.0 + 1.0 + 10.0]
    assert (known.loads, known.swaps, run.loads) == (2, 1, {"a": 1, "b": 1})
    assert (run.serving, run.loading, run.idle) == (5.0 + 1.0, 10.0 + 11.0, 0.0)


def test_models_that_fit_together_load_side_by_side(bench):
    config = bench.config("ab", groups={"all": {"swap": False, "members": ["a", "b"]}})
    run, known = bench.play(config, bench.trace((0, "a"), (1, "b"), (12, "a")))
    assert list(run.waits) == [10.0, 10.0, 0.0]
    assert known.swaps == 0


def test_a_model_of_its_own_pace_and_requests_without_a_time(bench):
    trace = bench.trace((0, "a", "x", math.nan), (0, "b", "x", math.nan))
    config = bench.config("ab", groups={"all": {"swap": False, "members": ["a", "b"]}})
    run, known = bench.play(config, trace, b=Pace(20.0, 1.0, 7.0))
    assert list(run.waits) == [10.0, 20.0]
    assert known.seconds == 27.0
    assert (run.serving, run.loading) == (1.0 + 7.0, 19.0)


def test_a_model_that_is_unloaded_when_idle_is_no_swap(bench):
    config = bench.config("a", model={"ttl": 5})
    run, known = bench.play(config, bench.trace((0, "a"), (100, "a")))
    assert (known.loads, known.swaps) == (2, 0)
    assert list(run.waits) == [10.0, 10.0]


def test_parallel_requests_wait_their_turn(bench):
    config = bench.config("a", model={"parallel": 1})
    run, _ = bench.play(config, bench.trace((0, "a"), (0, "a"), (0, "a")))
    assert list(run.waits) == [10.0, 11.0, 12.0]


def test_who_may_not_wait_is_refused_and_who_waits_too_long_times_out(bench):
    config = bench.config("ab", settings={"maxQueue": 1, "queueTimeout": 5, "maxWait": 5})
    trace = bench.trace((0, "a", "x", 60.0), (10, "b"), (11, "b"))
    run, known = bench.play(config, trace)
    assert run.outcomes == ["", "queue_timeout", "queue_full"]
    assert list(run.waits) == [10.0, 5.0, 0.0]
    assert (known.total.served, known.total.timed_out) == (1, 1)
    assert known.total.refused == {"queue_full": 1}


def test_a_load_that_takes_longer_than_it_may_fails_as_it_would(bench):
    config = bench.config("a", model={"startTimeout": 4})
    run, known = bench.play(config, bench.trace((0, "a"), (5.5, "a")))
    assert run.outcomes == ["model_load_timeout", "model_load_timeout"]
    assert list(run.waits) == [5.0, 0.0]  # the second comes within the back-off
    assert known.total.waits is None


def test_a_stop_is_cut_short_by_its_grace(bench):
    config = bench.config("ab", unloadTimeout=3)
    run, _ = bench.play(config, bench.trace((0, "a"), (20, "b")), stop=60.0)
    assert list(run.waits) == [10.0, 3.0 + 10.0]


def test_preloaded_models_are_loaded_before_anybody_asks(bench):
    both = {"all": {"swap": False, "members": ["a", "b"]}}
    hooks = {"on_startup": {"preload": ["a", "b"]}}
    config = bench.config("ab", groups=both, hooks=hooks)
    run, known = bench.play(config, bench.trace((0, "a"), (21, "b")))
    assert list(run.waits) == [10.0, 0.0]
    assert known.loads == 2
    assert known.total.requests == 2


def test_a_preload_that_fails_does_not_keep_the_next_from_loading(bench):
    every = {"all": {"swap": False, "members": ["a", "b", "c"]}}
    hooks = {"on_startup": {"preload": ["a", "b"]}}
    config = bench.config("abc", groups=every, hooks=hooks, healthCheckTimeout=15)
    run, known = bench.play(config, bench.trace((0, "c"), (40, "b")), a=Pace(load=20.0))
    assert run.loads == {"a": 1, "b": 1, "c": 1}
    assert list(run.waits) == [10.0, 0.0]
    assert known.total.served == 2


def test_an_empty_trace_takes_no_time(bench):
    _, known = bench.play(bench.config("a"), bench.trace())
    assert (known.seconds, known.idle, known.total.requests) == (0.0, 1.0, 0)


def test_progress_counts_arrivals(bench):
    trace = bench.trace(*((n, "a") for n in range(20_000)))
    said = []
    simulate(bench.config("a"), trace, Times(), progress=said.append)
    assert said == [8192, 16384]


def test_the_machine_is_told_who_calls(bench):
    """Callers take turns within a model's line: the one request of `two` does not wait for all of `one`."""
    rows = [(0, "a", "one")] * 5 + [(0, "a", "two")]
    config = bench.config("a", model={"parallel": 1})
    run, _ = bench.play(config, bench.trace(*rows))
    assert run.waits[5] < run.waits[4]
    assert sorted(run.waits) == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]


# --- what holds for any ------------------------------------------------------------------------------------------------

SECONDS = st.integers(0, 600).map(lambda tenths: tenths / 10)
ROWS = st.lists(
    st.tuples(SECONDS, st.sampled_from("abcd"), st.sampled_from(["x", "y"]), SECONDS), max_size=40
)
LIMITS = st.fixed_dictionaries(
    {
        "maxQueue": st.sampled_from([0, 3]),
        "queueTimeout": st.sampled_from([0, 15]),
    }
)
MODEL = st.fixed_dictionaries(
    {
        "parallel": st.integers(0, 2),
        "ttl": st.sampled_from([0, 4]),
        "concurrencyLimit": st.sampled_from([0, 4]),
        "startTimeout": st.sampled_from([5, 120]),
    }
)
MACHINES = st.sampled_from(
    [
        {},
        {"groups": {"g": {"swap": False, "members": ["a", "b"]}}},
        {"matrix": {"sets": {"one": "a & (b | c)"}}},
    ]
)
CONFIGS = st.tuples(st.sampled_from(["fair", "fifo"]), LIMITS, MODEL, MACHINES)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, parts=CONFIGS, load=SECONDS, stop=SECONDS)
def test_every_request_ends_once_and_time_adds_up(bench, rows, parts, load, stop):
    use, limits, model, machine = parts
    config = bench.config("abcd", use, limits, model, **machine)
    trace = bench.trace(*rows)
    run, known = bench.play(config, trace, load, stop)
    total = known.total
    assert total.unanswered == 0
    assert total.requests == len(rows)
    assert total.served + total.timed_out + sum(total.refused.values()) == len(rows)
    assert all(wait >= 0 for wait in run.waits)
    assert known.serving + known.loading + known.idle == pytest.approx(1.0)
    assert min(known.serving, known.loading, known.idle) >= 0
    for lines in (known.models, known.callers):
        assert sum(line.requests for line in lines.values()) == len(rows)
        assert sum(line.served for line in lines.values()) == total.served
    assert known.swaps <= known.loads


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, parallel=st.integers(0, 2))
def test_disciplines_do_the_same_for_a_single_model(bench, rows, parallel):
    trace = bench.trace(*((at, "a", who, seconds) for at, _, who, seconds in rows))
    fair, fifo = (
        bench.play(bench.config("a", use, model={"parallel": parallel}), trace)[1]
        for use in ("fair", "fifo")
    )
    ends = [(known.total.served, known.total.timed_out) for known in (fair, fifo)]
    assert ends[0] == ends[1]  # who is behind ten minutes of work has waited `queueTimeout`
    assert sum(ends[0]) == len(rows)
    assert (fair.loads, fair.swaps) == (fifo.loads, fifo.swaps)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, parts=CONFIGS)
def test_the_same_again_gives_the_same_again(bench, rows, parts):
    use, limits, model, machine = parts
    config = bench.config("abcd", use, limits, model, **machine)
    first, second = (bench.play(config, bench.trace(*rows)) for _ in range(2))
    assert first[0].outcomes == second[0].outcomes
    assert first[0].waits.tobytes() == second[0].waits.tobytes()
    assert first[1] == second[1]


def test_a_forgotten_request_is_counted_and_does_not_hang_the_loop(bench, monkeypatch):
    """Law 1 of the scheduler forbids it, so it is broken here by hand."""

    class Forgetful:
        def __init__(self, config):
            self._machine = machine_for(config)

        def handle(self, fact, now):
            return []

    monkeypatch.setattr("corral.simulator.run.machine_for", Forgetful)
    trace = bench.trace((0, "a"), (1, "a"))
    known = report(simulate(bench.config("a"), trace, Times()), trace)
    assert known.total.unanswered == 2

"""Numbers from a run."""

from __future__ import annotations

from array import array

from corral.simulator.report import Waits, report
from corral.simulator.run import Run


def test_ranks_are_waits_that_somebody_had(bench):
    trace = bench.trace(*((n, "a") for n in range(100)))
    waits = array("d", reversed(range(1, 101)))
    known = report(Run(waits, [""] * 100, serving=3.0, loading=1.0), trace)
    assert known.total.waits == Waits(p50=50.0, p95=95.0, most=100.0)
    assert (known.serving, known.loading, known.idle) == (0.75, 0.25, 0.0)


def test_lines_are_by_model_and_by_caller(bench):
    nan = float("nan")
    trace = bench.trace((0, "a", "x"), (1, "b", "y"), (2, "a", "y"), (3, "b", "y"), (4, "a", "x"))
    outcomes = ["", "queue_timeout", "queue_full", "", ""]
    known = report(Run(array("d", [4, 9, 0, 2, nan]), outcomes), trace)
    assert known.models["a"].refused == {"queue_full": 1}
    assert known.models["a"].unanswered == 1
    assert known.models["b"].waits == Waits(2.0, 2.0, 2.0)
    y = known.callers["y"]
    assert (y.requests, y.served, y.timed_out, y.refused) == (3, 1, 1, {"queue_full": 1})
    assert known.total.requests == 5

"""What a run comes to: counts, shares, and how long people waited."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isnan

from corral.simulator.run import SERVED, Run
from corral.simulator.trace import Trace

TIMED_OUT = "queue_timeout"


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from arrival to admission, of those who were served. Nearest ranks, so each is a wait that somebody had."""

    p50: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Line:
    """What became of some of the requests: one model's, one caller's, or all."""

    requests: int
    served: int
    timed_out: int
    """They waited `queueTimeout`."""
    refused: Mapping[str, int]
    """All others that were not served, by the error's code."""
    unanswered: int
    """Neither served nor refused; a defect of the scheduler unless it is 0."""
    waits: Waits | None
    """None when none was served."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run in numbers. The shares are parts of `seconds` and sum to 1."""

    seconds: float
    swaps: int
    loads: int
    serving: float
    loading: float
    idle: float
    total: Line
    models: Mapping[str, Line]
    """By model, in the order in which the trace names them."""
    callers: Mapping[str, Line]
    loads_of: Mapping[str, int] = field(default_factory=dict)
    """Also of models that loaded without being asked for."""


def report(run: Run, trace: Trace) -> Report:
    """The numbers of `run`, which played `trace`."""
    seconds = run.seconds
    serving, loading = (run.serving / seconds, run.loading / seconds) if seconds else (0.0, 0.0)
    everybody = array("L", [0]) * len(trace)
    return Report(
        seconds=seconds,
        swaps=run.swaps,
        loads=sum(run.loads.values()),
        serving=serving,
        loading=loading,
        idle=max(0.0, 1.0 - serving - loading),
        total=_lines(run, everybody, ["all"])["all"],
        models=_lines(run, trace.model, trace.models),
        callers=_lines(run, trace.caller, trace.callers),
        loads_of=run.loads,
    )


def _lines(run: Run, whose: array[int], names: Sequence[str]) -> dict[str, Line]:
    waits: list[list[float]] = [[] for _ in names]
    others: list[Counter[str]] = [Counter() for _ in names]
    unanswered = [0] * len(names)
    for wait, outcome, name in zip(run.waits, run.outcomes, whose, strict=True):
        if outcome is not SERVED:
            others[name][outcome] += 1
        elif isnan(wait):
            unanswered[name] += 1
        else:
            waits[name].append(wait)
    lines = map(_line, waits, others, unanswered)
    return dict(zip(names, lines, strict=True))


def _line(waits: list[float], others: Counter[str], unanswered: int) -> Line:
    requests = len(waits) + others.total() + unanswered
    timed_out = others.pop(TIMED_OUT, 0)
    return Line(requests, len(waits), timed_out, dict(others), unanswered, _waits(waits))


def _waits(waits: list[float]) -> Waits | None:
    waits.sort()
    return Waits(_rank(waits, 50), _rank(waits, 95), waits[-1]) if waits else None


def _rank(ascending: Sequence[float], percent: int) -> float:
    return ascending[ceil(len(ascending) * percent / 100) - 1]

"""Traces that nobody had to record: five shapes of demand.

The same seed makes the same trace. Nobody waits for an answer before asking again: the demand does not depend on how it is met, so
that settings can be compared.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import accumulate, count, islice
from math import log1p
from typing import TypeVar

from corral.simulator.times import Times
from corral.simulator.trace import Row, Trace


@dataclass(frozen=True, slots=True)
class Demand:
    """`rate` requests per second in the long run, for these models, from so many callers."""

    models: Sequence[str]
    requests: int = 1000
    rate: float = 0.5
    callers: int = 4


BURST = 10
"""Requests in a burst, on average."""
WORKERS = 4
"""The most workers that an orchestrator asks at once."""
BLOCK = 50
"""Requests that a batch job hands in at once."""


Chance = Callable[[], float]
"""Draws from 0 up to, but not including, 1: `random.Random(seed).random`."""
T = TypeVar("T")


def generate(name: str, demand: Demand, times: Times, chance: Chance) -> Trace:
    """The first `demand.requests` of the shape `name`, one of `SHAPES`."""
    rows = SHAPES[name](_Source(demand, times, chance))
    return Trace.of(islice(rows, demand.requests))


class _Source:
    """What all shapes draw from."""

    def __init__(self, demand: Demand, times: Times, chance: Chance) -> None:
        self.models = demand.models
        self.rate = demand.rate
        self.callers = demand.callers
        self.chance = chance
        self._times = times

    def pause(self, rate: float) -> float:
        """Seconds until the next of what happens so often per second, at any time."""
        return -log1p(-self.chance()) / rate

    def number(self, most: int) -> int:
        """From 1 to `most`."""
        return 1 + int(self.chance() * most)

    def choice(self, among: Sequence[T]) -> T:
        return among[self.number(len(among)) - 1]

    def one(self, kind: str) -> str:
        return f"{kind}-{self.number(self.callers)}"

    def service(self, model: str, share: float = 1.0) -> float:
        """The model's usual time, more or less."""
        return self._times.of(model).service * share * (0.5 + self.chance())

    def popular(self) -> Callable[[], str]:
        """Draws models; the first is asked for twice as often as the second, three times as often as the third."""
        last = len(self.models) - 1
        weights = list(accumulate(1 / rank for rank in range(1, last + 2)))
        return lambda: self.models[bisect(weights, self.chance() * weights[-1], hi=last)]


def _steady(source: _Source) -> Iterator[Row]:
    """Independent people, one request at a time."""
    now, draw = 0.0, source.popular()
    while True:
        now += source.pause(source.rate)
        model = draw()
        yield now, model, source.one("user"), source.service(model)


def _bursty(source: _Source) -> Iterator[Row]:
    """Somebody wants one model many times in a moment; then there is quiet."""
    now, draw = 0.0, source.popular()
    while True:
        model, caller = draw(), source.one("user")
        size = 1 + int(source.pause(1 / (BURST - 0.5)))
        now += source.pause(source.rate / size / 0.9)
        for _ in range(size):
            now += source.pause(source.rate / 0.1)
            yield now, model, caller, source.service(model)


def _ping_pong(source: _Source) -> Iterator[Row]:
    """Every request wants another model than the one before it."""
    for number in count():
        model = source.models[number % len(source.models)]
        caller = f"user-{number % source.callers + 1}"
        yield number / source.rate, model, caller, source.service(model)


def _agents(source: _Source) -> Iterator[Row]:
    """Each agent asks an orchestrator (the first model), some workers (the others) when it has answered, and begins again."""
    streams = (_agent(source, f"agent-{number + 1}") for number in range(source.callers))
    return merge(*streams)


def _agent(source: _Source, name: str) -> Iterator[Row]:
    orchestrator, workers = source.models[0], source.models[1:] or source.models
    rounds = source.rate / source.callers / (1 + (1 + WORKERS) / 2)
    begins = source.pause(rounds)  # not all at once
    while True:
        ends = begins + source.pause(rounds)
        seconds = source.service(orchestrator)
        yield begins, orchestrator, name, seconds
        answered = min(begins + seconds, ends)
        for _ in range(source.number(WORKERS)):
            worker = source.choice(workers)
            yield answered, worker, name, source.service(worker)
        begins = ends


def _chat_and_batch(source: _Source) -> Iterator[Row]:
    """Half of the requests are people who chat with the first model; half come in blocks for the others, and take twice as long."""
    return merge(_chat(source), _batch(source))


def _chat(source: _Source) -> Iterator[Row]:
    now, model = 0.0, source.models[0]
    while True:
        now += source.pause(source.rate / 2)
        yield now, model, source.one("chat"), source.service(model)


def _batch(source: _Source) -> Iterator[Row]:
    now, models = 0.0, source.models[1:] or source.models
    while True:
        now += source.pause(source.rate / 2 / BLOCK)
        model = source.choice(models)
        for _ in range(BLOCK):
            yield now, model, "batch", source.service(model, 2)


SHAPES: Mapping[str, Callable[[_Source], Iterator[Row]]] = {
    "steady": _steady,
    "bursty": _bursty,
    "ping-pong": _ping_pong,
    "agents": _agents,
    "chat-and-batch": _chat_and_batch,
}

"""Whose turn it is: all the models that somebody waits for, in order. Made when somebody asks, kept until it is not true any more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from corral.scheduler.queues import QueueRules
from corral.scheduler.residency import Resident, State

FRESH, STALE = 1.0, 0.02
"""Seconds, and a share of the whole wait."""

Turn = tuple[bool, float, int]
"""(has not waited `maxWait` and is not urgent, priority, age). In the middle of its turn a model is as old as the request that it was loaded for."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Those whose oldest has waited `maxWait` by age, then the others by priority and age."""

    order: tuple[Resident, ...]
    place: dict[str, int]
    until: float
    """Then somebody else will have waited `maxWait`."""


def turns_of(wanting: Iterable[Resident], queue: QueueRules, now: float) -> Turns:
    order = sorted(wanting, key=lambda model: turn(model, queue, now))
    ages = (queue.ages_at(model.line.oldest) for model in order if model.line.oldest)
    return Turns(
        tuple(order),
        {model.model: n for n, model in enumerate(order)},
        min((at for at in ages if at > now), default=math.inf),
    )


@dataclass(frozen=True, slots=True)
class Outlook:
    """The seconds that the turns before a model may take."""

    ahead: dict[str, float]
    behind_all: float
    """For one that nobody waited for."""
    until: float
    """When it is worth looking again."""


def outlook_on(turns: Turns, now: float) -> Outlook:
    """An estimate, kept for a part (`STALE`) of the time it speaks of: when a thousand are refused in a second, it is not worked out a
    thousand times."""
    seconds = list(accumulate(map(_seconds, turns.order), initial=0.0))
    names = (model.model for model in turns.order)
    ahead = dict(zip(names, seconds, strict=False))
    return Outlook(ahead, seconds[-1], now + max(FRESH, STALE * seconds[-1]))


def turn(model: Resident, queue: QueueRules, now: float) -> Turn:
    oldest = model.line.oldest
    if oldest is None:  # a companion, which goes behind all for whom somebody waits
        return True, math.inf, model.wanted.number if model.wanted else 0
    if pressing := model.pressing(queue, now):
        return False, 0, model.turn_of(pressing)
    return True, -model.priority, model.turn_of(oldest)


def _seconds(model: Resident) -> float:
    """A turn: the load, and serving those who wait for it. One that is ready costs the others nothing but its own requests."""
    if model.state is State.READY:
        return 0.0
    return (model.usual_load or 0.0) + (model.serve_seconds or 0.0)

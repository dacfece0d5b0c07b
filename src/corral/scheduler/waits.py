"""How long somebody may have to wait, and behind whom."""

from __future__ import annotations

from corral.scheduler.floor import Floor
from corral.scheduler.residency import Resident, State
from corral.scheduler.turns import Turns, outlook_on, turns_of

SOONEST = 1.0
"""Seconds; nobody is asked to come back sooner."""


def in_turn(floor: Floor, now: float) -> Turns:
    """The models that somebody waits for."""
    if floor.turns is None or now >= floor.turns.until:
        floor.turns = turns_of(floor.wanting.values(), floor.queue, now)
    return floor.turns


def position(floor: Floor, request: int, now: float) -> int | None:
    """How many, `request` included, wait up to it; None when it does not wait."""
    own = floor.waiting.get(request)
    if own is None:
        return None
    turns = in_turn(floor, now)
    before = turns.order[: turns.place[own.model]]
    return sum(len(model.line) for model in before) + own.line.ahead_of(request) + 1


def expected_wait(floor: Floor, model: Resident, now: float) -> float:
    """Seconds until one more request for `model` may be served: what its load, the turns before it, the requests in its way and those
    before it in its line have lately taken. Never less than `SOONEST`."""
    outlook = floor.outlook
    if outlook is None or now >= outlook.until:
        outlook = floor.outlook = outlook_on(in_turn(floor, now), now)
    ahead = outlook.ahead.get(model.model, outlook.behind_all)
    in_the_way = (floor.models[name].serve_seconds or 0.0 for name in floor.verdict(model).victims)
    return max(SOONEST, ahead + max(in_the_way, default=0.0) + _own(model))


def _own(model: Resident) -> float:
    serve = model.serve_seconds or 0.0
    rounds = len(model.line) // model.rules.parallel if model.rules.parallel else 0
    if model.state is State.READY:
        return serve * (rounds + 1)
    return (model.usual_load or 0.0) + serve * rounds

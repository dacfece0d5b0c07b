"""What would become of one more request, and why: for people who ask.

It is a rehearsal: the request arrives at a copy of the machine (`Machine.explain`), and what is told here is what that copy did. So an
explanation cannot differ from what would happen, and nothing is changed by asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from corral.errors import CorralError, ModelNotFound
from corral.scheduler.events import Admit, Arrived, Checked, Fact, Order, Reject, Stop
from corral.scheduler.floor import Floor
from corral.scheduler.policy import Option
from corral.scheduler.residency import Checked as Progress
from corral.scheduler.residency import Resident, State
from corral.scheduler.waits import expected_wait, in_turn, position

TOLD = 5
"""Obstacles that a reason names."""


class Outcome(StrEnum):
    SERVED = "served"
    WAIT = "would wait"
    SWAP = "would swap"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Victim:
    """A model that has to leave first. `cost` is what the policy says losing it costs; None under groups, which do not weigh."""

    model: str
    state: State
    in_flight: int
    cost: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """Who waits for one model: how many requests of how many callers, and since when the oldest of them does."""

    model: str
    requests: int
    callers: int
    since: float


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What a request would wait for: `model` is the one that has to move, `why` is for people."""

    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Times are on the machine's clock, `expected_wait` in seconds."""

    model: str
    outcome: Outcome
    reason: str
    rule: str
    """The group or the set that decides who has to leave."""
    cost: int | None
    """What that costs; None under groups."""
    victims: tuple[Victim, ...]
    runner_up: Option | None
    """The next best set, with its victims and its cost."""
    position: int | None
    """The place among all who wait, from 1; None when it would not wait."""
    waits_for: tuple[Obstacle, ...]
    expected_wait: float | None
    """From what loads and requests have lately taken; None when it would not wait."""
    waiting: tuple[Queue, ...]
    """Who waits already, in turn."""
    error: CorralError | None
    """With what it would be refused."""


def rehearsed(
    floor: Floor, tell: Callable[[Fact], list[Order]], name: str, caller: str, now: float
) -> Explanation:
    """What becomes of a request for the model `name` on `floor`, a copy, where `tell` has facts handled."""
    waiting = _queues(floor, now)
    known = floor.models.get(name)
    asked = _asked(floor, known, now) if known else None
    request = min((0, *floor.waiting, *floor.serving)) - 1
    orders = tell(Arrived(request, name, caller=caller))
    error = next((o.error for o in orders if isinstance(o, Reject) and o.request == request), None)
    if error is not None or known is None or asked is None:
        return _refused(name, error or ModelNotFound(f"no model {name}"), waiting)
    if known.checked is Progress.ASKED:
        orders += tell(Checked(name))
    return _explained(floor, asked, orders, request, now, waiting)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is known of a model before the request comes."""

    model: Resident
    victims: tuple[Victim, ...]
    options: tuple[Option, ...]
    expected_wait: float


def _asked(floor: Floor, model: Resident, now: float) -> _Asked:
    victims = tuple(_victim(floor, name) for name in floor.verdict(model).victims)
    options = floor.policy.options(model.model, floor.residents)
    return _Asked(model, victims, options, expected_wait(floor, model, now))


def _refused(model: str, error: CorralError, waiting: tuple[Queue, ...]) -> Explanation:
    return Explanation(
        model,
        Outcome.REFUSED,
        error.message,
        rule="",
        cost=None,
        victims=(),
        runner_up=None,
        position=None,
        waits_for=(),
        expected_wait=error.retry_after,
        waiting=waiting,
        error=error,
    )


def _explained(
    floor: Floor,
    asked: _Asked,
    orders: list[Order],
    request: int,
    now: float,
    waiting: tuple[Queue, ...],
) -> Explanation:
    model, victims = asked.model, asked.victims
    served = Admit(request) in orders
    stopped = {order.model for order in orders if isinstance(order, Stop)}
    swaps = not stopped.isdisjoint(victim.model for victim in victims)
    outcome = Outcome.SERVED if served else Outcome.SWAP if swaps else Outcome.WAIT
    obstacles = () if served else tuple(_obstacles(floor, model, request, now))
    chosen, *others = asked.options
    return Explanation(
        model.model,
        outcome,
        _reason(outcome, victims, obstacles),
        rule=chosen.rule,
        cost=chosen.cost,
        victims=victims,
        runner_up=others[0] if others else None,
        position=position(floor, request, now),
        waits_for=obstacles,
        expected_wait=None if served else asked.expected_wait,
        waiting=waiting,
        error=None,
    )


def _reason(outcome: Outcome, victims: tuple[Victim, ...], obstacles: tuple[Obstacle, ...]) -> str:
    if outcome is Outcome.SERVED:
        return "it is ready, there is a free place, and nobody is before it or in its way"
    if outcome is Outcome.SWAP:
        return f"{_listed([victim.model for victim in victims])} would be stopped for it at once"
    told = [obstacle.why for obstacle in obstacles[:TOLD]]
    more = len(obstacles) - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told)


def _victim(floor: Floor, name: str) -> Victim:
    model = floor.models[name]
    return Victim(name, model.state, len(model.served), floor.policy.cost(name))


def _queues(floor: Floor, now: float) -> tuple[Queue, ...]:
    return tuple(
        Queue(model.model, len(model.line), model.line.callers, model.line.oldest.arrived)
        for model in in_turn(floor, now).order
        if model.line.oldest
    )


# --- what it waits for -------------------------------------------------------------------------------------------------


def _obstacles(floor: Floor, model: Resident, request: int, now: float) -> Iterator[Obstacle]:
    """What keeps `request` in the line of `model`."""
    name = model.model
    if not model.claims:
        yield Obstacle(name, f"{name} is {model.state} and has to be gone first")
        return
    if model.state is State.LOADING:
        usual = f", which usually takes {model.usual_load:.3g} s" if model.usual_load else ""
        yield Obstacle(name, f"{name} has to load{usual}")
    victims = floor.verdict(model).victims
    if model.state is State.UNLOADED or victims:
        yield from _room(floor, model, now)
    if model.state is State.READY and not victims:
        yield Obstacle(name, _in_line(floor, model, request))


def _in_the_way(floor: Floor, victim: Resident, now: float) -> str:
    name, fresh = victim.model, victim.fresh_until(floor.queue) - now
    if victim.state is State.UNLOADING:
        return f"{name} is being stopped"
    if victim.served:
        then = ", and takes no more" if victim.state is State.DRAINING else ""
        return f"{name} has {len(victim.served)} in flight{then}"
    if victim.state is State.LOADING and victim.line:
        return f"{name} is loading for {len(victim.line)} who wait for it"
    if victim.state is State.READY and fresh > 0:
        return f"{name} is fresh, and stays for {fresh:.3g} s more (minResidency)"
    return f"{name} is in its way"


def _room(floor: Floor, model: Resident, now: float) -> Iterator[Obstacle]:
    """Who has the room that it needs, or an older claim on it."""
    turns, name = in_turn(floor, now), model.model
    before = [other.model for other in turns.order[: turns.place[name]]]
    together = floor.policy.decide(name, floor.residents.union(before)).victims
    resident = [victim for victim in together if victim in floor.residents]
    there = dict.fromkeys([*floor.verdict(model).victims, *resident])
    for victim in there:
        yield Obstacle(victim, _in_the_way(floor, floor.models[victim], now))
    for other in before:
        if other not in there and (other in together or other in floor.policy.rivals(name)):
            yield Obstacle(other, f"{other} is wanted too, and has its turn before")


def _in_line(floor: Floor, model: Resident, request: int) -> str:
    ahead = model.line.ahead_of(request)
    if model.free and model.model in floor.held:
        return f"{model.model} takes no more, for an older request that has waited maxWait"
    return f"{model.rules.parallel} are served at once (parallel), and {ahead} wait before it"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)

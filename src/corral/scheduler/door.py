"""What becomes of a newcomer: straight through, refused at once, or into the line; and who is called for its sake.

Nobody is refused for being impossible to serve, for nobody is: a policy's victims can always be made to leave (`policy.py`, law 4), and
a rule that would never let anyone in cannot be written (`ModelRules`).
"""

from __future__ import annotations

from corral.errors import ConcurrencyLimit, CorralError, QueueFull
from corral.scheduler.floor import Floor, again
from corral.scheduler.queues import Waiter
from corral.scheduler.residency import Resident, State
from corral.scheduler.waits import expected_wait


def is_open(floor: Floor, model: Resident) -> bool:
    """A newcomer need not wait: there is a free place, nobody is before it, and nobody in its way or it in theirs."""
    return (
        model.state is State.READY
        and model.line.oldest is None
        and model.free
        and model.model not in floor.held
        and not floor.verdict(model).victims
        and not _is_over(model)
    )


def was_idle(floor: Floor, model: Resident) -> bool:
    """Whoever waits and counted on its room has to wait longer now, and those behind that one perhaps less."""
    return len(model.served) == 1 and bool(floor.wanting)


def refusal(floor: Floor, model: Resident, now: float) -> CorralError | None:
    """Why a newcomer may not even wait."""
    queue = floor.queue
    if model.state is State.UNLOADED and model.failure and now < model.retry_at:
        return again(model.failure, model.retry_at - now)
    if _is_over(model):
        text = f"{model.model} has {model.rules.concurrency_limit} requests already, its limit"
        return ConcurrencyLimit(text, retry_after=expected_wait(floor, model, now))
    if queue.max_queue and len(floor.waiting) >= queue.max_queue:
        text = f"{queue.max_queue} requests wait already, no more may"
        return QueueFull(text, retry_after=expected_wait(floor, model, now))
    return None


def is_claim(floor: Floor, model: Resident, waiter: Waiter) -> bool:
    """Room may have to be made, now that `waiter` is in line, or a load that was for nobody is for somebody. Not when somebody was there
    before it who is as urgent, nor for one that only waits for a free place."""
    if waiter not in (model.line.oldest, model.line.urgent) or not model.claims:
        return False
    return model.state is not State.READY or bool(floor.verdict(model).victims)


def want_companions(floor: Floor, model: Resident, waiter: Waiter, now: float) -> bool:
    """Have the models started that load together with this one; whether there was any to start."""
    found = False
    for name in model.rules.together:
        companion = floor.models[name]
        if _is_missing(companion, now):
            floor.want(companion, waiter)
            found = True
    return found


def _is_over(model: Resident) -> bool:
    limit = model.rules.concurrency_limit
    return bool(limit) and len(model.served) + len(model.line) >= limit


def _is_missing(companion: Resident, now: float) -> bool:
    away = companion.state in (State.UNLOADED, State.UNLOADING) or companion.gone_by is not None
    return away and companion.first is None and now >= companion.retry_at

"""What would become of one more request for a model, as plain values, ready for JSON. Asking changes nothing."""

from __future__ import annotations

import time
from typing import Any

from corral.errors import CorralError
from corral.gateway.engine import Engine
from corral.scheduler.explain import Queue, Victim
from corral.scheduler.policy import Option


def explained(engine: Engine, model: str) -> dict[str, Any]:
    """The scheduler's rehearsal of a request for `model`, a real id. Seconds; `since` in epoch seconds.

    `outcome` is served, would wait, would swap or refused. `rule` and `cost` belong to `victims`, the models that have to leave (no costs
    under groups, which do not weigh); `runner_up` is the next best set. `usual_load` is how long the model's loads have lately taken.
    """
    now = engine.now()
    told = engine.machine.explain(model, now)
    began = time.time() - now
    return {
        "model": model,
        "state": engine.machine.state(model).value,
        "outcome": told.outcome.value,
        "reason": told.reason,
        "rule": told.rule or None,
        "cost": told.cost,
        "victims": [_victim(victim) for victim in told.victims],
        "runner_up": told.runner_up and _option(told.runner_up),
        "waits_for": [{"model": one.model, "why": one.why} for one in told.waits_for],
        "position": told.position,
        "expected_wait": told.expected_wait,
        "usual_load": engine.machine.load_costs().get(model),
        "waiting": [_queue(queue, began) for queue in told.waiting],
        "error": told.error and _error(told.error),
    }


def _victim(victim: Victim) -> dict[str, Any]:
    return {
        "model": victim.model,
        "state": victim.state.value,
        "in_flight": victim.in_flight,
        "cost": victim.cost,
    }


def _option(option: Option) -> dict[str, Any]:
    return {"rule": option.rule, "victims": list(option.victims), "cost": option.cost}


def _queue(queue: Queue, began: float) -> dict[str, Any]:
    return {
        "model": queue.model,
        "requests": queue.requests,
        "callers": queue.callers,
        "since": round(began + queue.since, 3),
    }


def _error(error: CorralError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "retry_after": error.retry_after}

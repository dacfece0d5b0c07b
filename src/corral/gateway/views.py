"""What a person sees of a model: its state, who uses it, its process, its last failure. Plain values, ready for JSON."""

from __future__ import annotations

import time
from typing import Any

from corral.errors import LoadFailed
from corral.gateway.engine import Stopped
from corral.gateway.gateway import Gateway
from corral.scheduler.machine import State


def every(gateway: Gateway) -> list[dict[str, Any]]:
    """`of`, for all models in the order of the configuration."""
    return [of(gateway, model) for model in gateway.config.models]


def of(gateway: Gateway, model: str) -> dict[str, Any]:
    """The full state of one model; times in seconds, `since` as epoch seconds, `memory` in bytes (None when it does not run)."""
    engine, configured = gateway.engine, gateway.config.models[model]
    machine, now = engine.machine, engine.now()
    process, state = engine.processes.status(model), machine.state(model)
    deadline = machine.ttl_deadline(model)
    runs = state is not State.UNLOADED
    return {
        "id": model,
        "name": configured.name,
        "description": configured.description,
        "aliases": list(configured.aliases),
        "state": state.value,
        "since": _since(gateway, model, now),
        "in_flight": machine.in_flight(model),
        "waiting": machine.waiting(model),
        "pid": process.pid if runs else None,
        "port": process.port if runs else None,
        "cmd": process.cmd,
        "proxy": process.proxy,
        "shipped": process.shipped,
        "persist": configured.persist,
        "ttl": configured.ttl,
        "ttl_left": None if deadline is None else max(0.0, deadline - now),
        "last_load_seconds": machine.load_seconds(model),
        "last_failure": failure(machine.last_failure(model)),
        "last_eviction": _departure(engine.last_stop(model)),
        "memory": process.rss if runs else None,
    }


def _since(gateway: Gateway, model: str, now: float) -> float:
    """To the millisecond: two clocks are read, and the same state should show the same time twice."""
    began = gateway.engine.machine.state_since(model)
    return round(time.time() - (now - began) if began else gateway.started_at, 3)


def _departure(stop: Stopped | None) -> dict[str, Any] | None:
    """Why it was last told to stop: {why, for, at}; `for` is None unless it made room."""
    return stop and {"why": stop.why, "for": stop.target or None, "at": round(stop.at, 3)}


def failure(error: LoadFailed | None) -> dict[str, Any] | None:
    """A failed load, for JSON: {code, message, exit_code, log}."""
    if error is None:
        return None
    return {
        "code": error.code,
        "message": error.message,
        "exit_code": error.exit_code,
        "log": list(error.log_tail),
    }

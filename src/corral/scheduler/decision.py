"""The one decision, taken again after every fact.

A *claim* is a model that somebody waits for and that is not simply in use: it is unloaded, or somebody must leave for it. Claims are
looked at in turn (see `queues.py`). One is *firm* when nobody behind it may take its room: its oldest has waited `maxWait`, or it needs
only room that nobody uses. One that somebody urgent waits for (a switch) is treated as if that one had waited `maxWait`.

The cases:

1. The clock: an unload whose time is up, a model idle for its `ttl`, a waiter past `queueTimeout`.
2. Corral is closing: who serves nobody is stopped, the others drain. Nothing else happens.
3. A model that was asked to leave and has drained is stopped.
4. Claims whose oldest has waited `maxWait`, the oldest first. Newcomers for the models in its way are held. Unless it has to wait for an
   older claim, the models in its way drain, and stop when they are drained (for one that is urgent: when all of them are); those that an older request waits for have their turn
   first. When nobody is in its way it is started.
5. A model that drains for no one any more, its claimant having left, is ready again.
6. A ready model with nobody in its way serves its line, while `parallel` and case 4 allow.
7. The other claims: when everyone in its way is idle, and has been there for `minResidency`, they are stopped; when nobody is, it is
   started. Otherwise it waits, and nobody notices. (A companion that nobody waits for only takes room that is empty, behind all who
   wait: the request that wants it clears the room.)
8. A model is checked as soon as it is claimed; nobody drains or stops for it before the check came back clean.

Cases 4 to 7 are in `claims.py`.
"""

from __future__ import annotations

from corral.errors import QueueTimeout
from corral.scheduler.claims import Claims
from corral.scheduler.floor import Floor
from corral.scheduler.residency import Checked, Move, Resident, State
from corral.scheduler.turns import turn
from corral.scheduler.waits import expected_wait

LAST_GRACE = 1.0
"""Seconds that a process is given when there is no time left."""


def decide(floor: Floor, now: float) -> None:
    """Bring the floor up to date with what has happened, by the cases above."""
    _clock(floor, now)
    if floor.closing:
        _close(floor, now)
        return
    _finish_unloads(floor, now)
    if floor.wanting or floor.draining:
        _settle(floor, now)
        _check(floor, now)
    else:
        floor.held = {}


def _settle(floor: Floor, now: float) -> None:
    """Cases 4 to 7, and again what may have come out differently for what was done since."""
    claims = Claims(floor, now)
    if claims.settle_aged():
        claims = Claims(floor, now)
        claims.settle_aged()
    if claims.serve():
        claims = Claims(floor, now, gently=True)
        claims.look_again()
    while claims.settle_young():
        claims = Claims(floor, now, gently=True)
        claims.look_again()


def _clock(floor: Floor, now: float) -> None:
    """Case 1."""
    for name in floor.agenda.due(now):
        model = floor.models[name]
        floor.touched[name] = model
        ttl = model.ttl_deadline()
        if model.gone_by is not None and model.gone_by <= now:
            why = f"{model.leaves}, {len(model.served)} in flight when the time was up"
            floor.stop(model, now, LAST_GRACE, why)
        elif ttl is not None and ttl <= now:
            floor.stop(model, now, model.rules.unload_timeout, f"idle for {model.rules.ttl:g} s")
        _time_out(floor, model, now)


def _time_out(floor: Floor, model: Resident, now: float) -> None:
    while (oldest := model.line.oldest) is not None:
        at = model.refuses_at(oldest, floor.queue)
        if at is None or at > now:
            return
        text = f"no room for {model.model} within {floor.queue.queue_timeout:g} s"
        retry_after = expected_wait(floor, model, now)
        floor.reject(oldest.request, QueueTimeout(text, retry_after=retry_after))


def _close(floor: Floor, now: float) -> None:
    """Case 2."""
    for model in list(floor.models.values()):
        if model.served and model.state is State.READY:
            floor.drain(model, now)
        elif not model.served and model.can(Move.STOP) and model.state is not State.UNLOADING:
            floor.stop(model, now, model.rules.unload_timeout, "shutting down")


def _finish_unloads(floor: Floor, now: float) -> None:
    """Case 3."""
    for model in list(floor.draining.values()):
        if model.gone_by is not None and not model.served:
            budget = min(model.gone_by - now, model.rules.unload_timeout)
            floor.stop(model, now, max(LAST_GRACE, budget), model.leaves)


def _check(floor: Floor, now: float) -> None:
    """Case 8."""
    asking = [
        model
        for model in floor.unchecked.values()
        if model.first and model.state is State.UNLOADED and model.checked is Checked.UNKNOWN
    ]
    for model in sorted(asking, key=lambda model: turn(model, floor.queue, now)):
        floor.check(model)
    floor.unchecked = {}

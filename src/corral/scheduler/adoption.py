"""Another configuration, in one step: whatever is not about a changed model goes on as it was, under the new rules.

1. Who is not in it any more: their waiters are refused, they finish what they serve, and are forgotten when they are gone.
2. Who has to be started anew finishes what it serves, and is stopped; those who wait for it wait on. A load is stopped at once.
3. All others keep their process, their requests, their waiters and their clocks. Someone may serve more than `parallel` now allows:
   nobody is admitted before it serves less.
4. Back-offs end: the mistake may be mended.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from corral.errors import ModelNotFound
from corral.scheduler.departing import succeeding
from corral.scheduler.events import Reloaded
from corral.scheduler.floor import Floor
from corral.scheduler.residency import Checked, Resident, State

REMOVED = "removed from the configuration"
CHANGED = "its configuration changed"


def adopt(floor: Floor, fact: Reloaded, now: float) -> None:
    """Take the new rules over. What follows from them is decided next, as after every fact."""
    known = frozenset(name for name, model in floor.models.items() if not model.removed)
    for name in [name for name in floor.models if name not in fact.models]:
        _remove(floor, floor.models[name])
    for name in fact.restarted & floor.models.keys():
        _forget_process(floor.models[name])
    _take_rules(floor, fact)
    _take_policy(floor, fact, known)
    for model in list(floor.models.values()):
        _dismiss(floor, fact, model, now)
        _review_companion(floor, model)


def _remove(floor: Floor, model: Resident) -> None:
    text = f"no model {model.model}: it was {REMOVED}"
    floor.refuse(model, partial(ModelNotFound, text))
    model.removed = True
    model.rules = replace(model.rules, together=())
    if model.state is State.UNLOADED:
        floor.forget(model)


def _forget_process(model: Resident) -> None:
    """What is known of the process as it was launched, and not of the next one."""
    model.checked = Checked.UNKNOWN
    model.failure = model.usual_load = None


def _take_rules(floor: Floor, fact: Reloaded) -> None:
    """In the order of the configuration; whoever is leaving comes last."""
    priority = fact.queue.priority
    leaving = {name: model for name, model in floor.models.items() if model.removed}
    models: dict[str, Resident] = {}
    for name, rules in fact.models.items():
        model = models[name] = floor.models.get(name) or Resident(name, rules)
        model.rules, model.priority, model.removed = rules, priority.get(name, 0), False
        model.failures, model.retry_at = 0, 0.0
    floor.models = models | {name: model for name, model in leaving.items() if model.removed}


def _take_policy(floor: Floor, fact: Reloaded, known: frozenset[str]) -> None:
    costs = {name: model.learned_cost for name, model in floor.models.items() if not model.removed}
    learned = {name: cost for name, cost in costs.items() if cost is not None}
    policy = fact.policy.priced(learned) if learned else fact.policy
    leaving = frozenset(name for name, model in floor.models.items() if model.removed)
    floor.follow(succeeding(policy, floor.policy, known, leaving), fact.queue)


def _dismiss(floor: Floor, fact: Reloaded, model: Resident, now: float) -> None:
    name, loading = model.model, model.state is State.LOADING
    is_stale = name in fact.restarted or (loading and name in fact.rechecked)
    if not (model.removed or is_stale):
        return
    why = REMOVED if model.removed else CHANGED
    if loading:
        floor.stop(model, now, model.rules.unload_timeout, why)
    elif model.state in (State.READY, State.DRAINING):
        floor.dismiss(model, now, why)


def _review_companion(floor: Floor, model: Resident) -> None:
    """It may be wanted with a model that it is not loaded together with any more."""
    if model.wanted is None:
        return
    request = model.wanted.request
    owner = floor.serving.get(request) or floor.waiting.get(request)
    if owner is None or owner.model not in model.rules.together:
        floor.want(model, floor.another(model))

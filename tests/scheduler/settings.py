"""Configurations small enough to be walked through, that together use every rule the scheduler knows.

Times are whole seconds and as short as they can be told apart: `maxWait` 2, `queueTimeout` 5, back-off 2, `unloadTimeout` 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import ModelRules, QueueRules
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.policy import Policy


@dataclass(frozen=True, eq=False)
class Setting:
    """One configuration. `sets`: what a matrix allows together."""

    name: str
    models: dict[str, ModelRules]
    policy: Policy
    queue: QueueRules = field(default_factory=QueueRules)
    sets: tuple[frozenset[str], ...] | None = None

    def __str__(self) -> str:
        return self.name

    @cached_property
    def persist(self) -> frozenset[str]:
        return frozenset(name for name, rules in self.models.items() if rules.persist)

    @cached_property
    def max_wait(self) -> float:
        return self.queue.max_wait if self.queue.use == "fair" else math.inf

    @cached_property
    def company(self) -> dict[str, frozenset[str]]:
        """By model: whoever may have to do with its waiting, however indirectly."""
        if self.sets is not None:
            return dict.fromkeys(self.models, frozenset(self.models))
        company = {model: {model, *self.policy.rivals(model)} for model in self.models}
        for _ in self.models:
            for known in company.values():
                known.update(*(company[other] for other in list(known)))
        return {model: frozenset(known) for model, known in company.items()}


MAX_WAIT, TIMEOUT, BACKOFF, UNLOAD, TTL = 2.0, 5.0, 2.0, 2.0, 1.0

FAIR = QueueRules(max_wait=MAX_WAIT, queue_timeout=0, max_queue=0)
FIFO = QueueRules(use="fifo", queue_timeout=0, max_queue=0)
IMPATIENT = QueueRules(max_wait=MAX_WAIT, queue_timeout=TIMEOUT, max_queue=0)
FAVOURING_C = QueueRules(max_wait=MAX_WAIT, priority={"c": 1}, queue_timeout=0, max_queue=0)
SHORT = QueueRules(max_wait=MAX_WAIT, priority={"b": 1}, queue_timeout=TIMEOUT, max_queue=3)

FRESH = QueueRules(max_wait=MAX_WAIT, min_residency=1.0, queue_timeout=0, max_queue=0)

SIDE = GroupRules("side", ("b",), swap=False, exclusive=False)
KEPT = GroupRules("kept", ("b",), exclusive=False, persistent=True)
PROUD = GroupRules("proud", ("a",), persistent=True)
PAIR = GroupRules("pair", ("a", "b"), swap=False)
RAG = GroupRules("rag", ("a", "b"), swap=False, together=True)
MODEST_RAG = GroupRules("rag", ("a", "b"), swap=False, exclusive=False, together=True)

GROUPS: dict[str, tuple[GroupRules, ...]] = {
    "alone": (),
    "one-way": (SIDE,),
    "persistent": (KEPT,),
    "proud": (PROUD, SIDE),
    "pair": (PAIR,),
    "together": (RAG,),
    "together one-way": (MODEST_RAG,),
}
SETS: dict[str, tuple[str, ...]] = {
    "matrix": ("ab", "ac"),
    "pairs": ("ab", "ac", "bc"),
    "all": ("abc",),
    "outsider": ("ab",),
}
POLICIES = (*GROUPS, *SETS)


def setting(
    policy: str,
    queue: QueueRules = FAIR,
    names: str = "abc",
    persist: str = "",
    **rules: float,
) -> Setting:
    """The models `names` under one of `POLICIES`; `rules` for all of them. With `learns`, no cost is written."""
    known = {"unload_timeout": UNLOAD, "backoff": (BACKOFF,), **rules}
    groups = GROUPS.get(policy, ())
    together = {m: g.members for g in groups if g.together for m in g.members}
    models = {
        name: ModelRules(
            persist=name in persist,
            together=tuple(m for m in together.get(name, ()) if m != name),
            **known,
        )
        for name in names
    }
    sets = tuple(frozenset(s) & set(names) for s in SETS[policy]) if policy in SETS else None
    title = " ".join(
        [
            policy,
            queue.use,
            *(f"{k}={v:g}" for k, v in rules.items()),
            persist and f"keeps {persist}",
        ]
    ).strip()
    costs = {} if rules.get("learns") else {"a": 3}
    return Setting(title, models, _policy(policy, names, persist, costs), queue, sets)


def _policy(policy: str, names: str, persist: str, costs: dict[str, int]) -> Policy:
    if policy in GROUPS:
        return Groups(tuple(names), GROUPS[policy], tuple(persist))
    states = tuple(Every(tuple(One(m) for m in s if m in names)) for s in SETS[policy])
    whole = Either(states) if len(states) > 1 else states[0]
    return MatrixPolicy(tuple(names), Matrix((NamedSet("all", "", whole),), costs), tuple(persist))

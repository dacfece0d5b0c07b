"""The stage: `play(machine, (fact, [orders]), ...)`.

Facts come one second apart, from 0, unless a step says when: `(at, fact, [orders])`. `Wake` is compared only in steps that expect one.
Expected orders may be loose: `halt("a")` is a `Stop` with any grace and reason, `refuse(1, QueueFull)` a `Reject` with such an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from corral.errors import CorralError
from corral.scheduler.events import Reject, Stop, Wake
from corral.scheduler.machine import Machine, ModelRules, QueueRules
from corral.scheduler.policy import Option, Verdict


@dataclass(frozen=True, eq=False)
class Halt:
    model: str
    grace: float | None = None

    def __eq__(self, order: object) -> bool:
        known = isinstance(order, Stop) and order.model == self.model
        return known and self.grace in (None, order.grace)

    __hash__ = None


@dataclass(frozen=True, eq=False)
class Refuse:
    request: int
    error: type[CorralError]
    retry_after: float | None = None

    def __eq__(self, order: object) -> bool:
        known = isinstance(order, Reject) and order.request == self.request
        same = known and type(order.error) is self.error
        return same and self.retry_after in (None, order.error.retry_after)

    __hash__ = None


class Rule:
    """A policy from a table: which models each evicts."""

    def __init__(self, evicts: dict[str, str]) -> None:
        self._evicts = evicts

    def decide(self, target: str, residents: frozenset[str]) -> Verdict:
        victims = tuple(sorted(residents & set(self._evicts.get(target, "")) - {target}))
        return Verdict(victims, "the rule") if victims else Verdict()

    def rivals(self, model: str) -> frozenset[str]:
        theirs = {m for m, evicts in self._evicts.items() if model in evicts}
        return frozenset(theirs | set(self._evicts.get(model, ""))) - {model}

    def evictors(self, model: str) -> frozenset[str]:
        return frozenset(m for m, evicts in self._evicts.items() if model in evicts) - {model}

    def kind(self, model: str) -> str:
        return model

    def options(self, target: str, residents: frozenset[str]) -> tuple[Option, ...]:
        return (Option("the rule", self.decide(target, residents).victims),)

    def cost(self, model: str) -> None:
        return None

    def priced(self, costs: dict[str, int]) -> Rule:
        return self


class Stage:
    """What a play needs, in one word."""

    halt = Halt
    refuse = Refuse
    rule = Rule

    @staticmethod
    def alone(models: str = "abcd") -> Rule:
        """Everyone evicts everyone."""
        return Rule(dict.fromkeys(models, models))

    @staticmethod
    def together() -> Rule:
        return Rule({})

    def machine(
        self,
        models: str = "abcd",
        policy: Rule | None = None,
        queue: QueueRules | None = None,
        **rules: object,
    ) -> Machine:
        """Models with the same rules, alone unless a policy says otherwise."""
        known = {name: ModelRules(**rules) for name in models}
        return Machine(known, policy or self.alone(models), queue)

    def play(self, machine: Machine, *script: Sequence[object], start: float = 0.0) -> float:
        """Play the script; returns the time of the last fact."""
        now = start - 1.0
        for step in script:
            *at, fact, expected = step
            now = at[0] if at else now + 1.0
            got = machine.handle(fact, now)
            if not any(isinstance(order, Wake) for order in expected):
                got = [order for order in got if not isinstance(order, Wake)]
            assert expected == got, f"{fact} at {now}: {got} instead of {expected}"
        return now


@pytest.fixture
def stage() -> Stage:
    return Stage()

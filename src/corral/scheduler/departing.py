"""The policy while models are leaving that the configuration does not know any more.

1. Who was loaded already is used as if they were gone: the new configuration has nothing to say about them.
2. Who is to be started waits for those of them that, by the rules under which they were loaded, had to leave for it; a model that
   those rules did not know waits for them all. Their memory is in use until they are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from corral.scheduler.policy import Option, Policy, Verdict


@dataclass(frozen=True, slots=True)
class Before:
    """The rules that were in force, and the models that they knew."""

    policy: Policy
    models: frozenset[str]

    def is_in_the_way(self, gone: str, target: str, residents: frozenset[str]) -> bool:
        if target not in self.models:
            return True
        return gone in self.policy.decide(target, residents & self.models).victims


@dataclass(frozen=True, slots=True, eq=False)
class Departing:
    """`now`, and those who are leaving, each with the rules that knew it."""

    now: Policy
    gone: Mapping[str, Before]

    def decide(self, target: str, residents: frozenset[str]) -> Verdict:
        verdict = self.now.decide(target, residents.difference(self.gone))
        leaving = self._leaving(target, residents)
        if not leaving:
            return verdict
        why = f"{', '.join(leaving)} was removed from the configuration, and is not gone yet"
        return Verdict(
            (*verdict.victims, *leaving), f"{verdict.why} and {why}".removeprefix(" and ")
        )

    def rivals(self, model: str) -> frozenset[str]:
        """Those who are leaving have no claim that could stand before another."""
        return self.now.rivals(model)

    def evictors(self, model: str) -> frozenset[str]:
        return frozenset() if model in self.gone else self.now.evictors(model)

    def kind(self, model: str) -> str:
        """Also of one kind under the rules of those who are leaving."""
        kinds = [
            before.policy.kind(model) if model in before.models else "" for before in self._befores
        ]
        return repr((self.now.kind(model), kinds))

    def options(self, target: str, residents: frozenset[str]) -> tuple[Option, ...]:
        leaving = self._leaving(target, residents)
        return tuple(
            replace(option, victims=(*option.victims, *leaving))
            for option in self.now.options(target, residents.difference(self.gone))
        )

    def cost(self, model: str) -> int | None:
        before = self.gone.get(model)
        return before.policy.cost(model) if before else self.now.cost(model)

    def priced(self, costs: Mapping[str, int]) -> Departing:
        return replace(self, now=self.now.priced(costs))

    @property
    def _befores(self) -> list[Before]:
        return list({id(before): before for before in self.gone.values()}.values())

    def _leaving(self, target: str, residents: frozenset[str]) -> tuple[str, ...]:
        if target in residents:
            return ()
        return tuple(
            name
            for name, before in self.gone.items()
            if name in residents and before.is_in_the_way(name, target, residents)
        )


def succeeding(
    policy: Policy, old: Policy, known: frozenset[str], leaving: frozenset[str]
) -> Policy:
    """`policy`, in the place of `old`, which knew the models `known`, while `leaving` are not gone."""
    gone: dict[str, Before] = {}
    if isinstance(old, Departing):
        gone, old = dict(old.gone), old.now
    before = Before(old, known)
    found = {name: gone.get(name, before) for name in sorted(leaving)}
    return Departing(policy, found) if found else policy


def without(policy: Policy, name: str) -> Policy:
    """The same, now that `name` is gone."""
    if not isinstance(policy, Departing):
        return policy
    gone = {other: before for other, before in policy.gone.items() if other != name}
    return replace(policy, gone=gone) if gone else policy.now

"""llama-swap's matrix: sets of models that may be resident together.

For a target T and the residents R (without `persist` models, which are in every set):

1. T is resident: nobody leaves, even when R matches no set.
2. T is in some set: of all states that hold T, the one that evicts the cheapest part of R; then the earliest set; then the earliest
   alternative. Who is in R but not in that state leaves.
3. T is in no set: all of R leaves.

Losing a model costs its number; 1 without one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import copy

from corral.config.matrix import Matrix, NamedSet
from corral.scheduler.policy import Option, Verdict
from corral.scheduler.solver import Compiled, Search, companions, compiled, twins

REMEMBERED = 4096
"""Verdicts kept."""


class MatrixPolicy:
    """The policy of a matrix over `models` (all of them, in the order of the configuration)."""

    def __init__(
        self, models: Collection[str], matrix: Matrix, persist: Collection[str] = ()
    ) -> None:
        self._models = tuple(models)
        self._place = {model: n for n, model in enumerate(self._models)}
        self._persist = frozenset(persist)
        self._costs = [matrix.evict_costs.get(model, 1) for model in self._models]
        bits = {model: 1 << n for model, n in self._place.items()}
        seen: Compiled = {}
        self._sets = [(s, compiled(s.expression, bits, seen)) for s in matrix.sets]
        roots = [root for _, root in self._sets]
        self._beside = companions(roots, len(self._models))
        self._kinds = self._alike(twins(roots, len(self._models)))
        self._rivals: dict[str, frozenset[str]] = {}
        self._verdicts: dict[tuple[str, frozenset[str]], Verdict] = {}

    def decide(self, target: str, residents: frozenset[str]) -> Verdict:
        if target in residents or target in self._persist:
            return Verdict()
        key = (target, residents)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._decide(target, residents)
        return verdict

    def rivals(self, model: str) -> frozenset[str]:
        rivals = self._rivals.get(model)
        if rivals is None:
            beside = self._beside[self._place[model]]
            others = (m for m in self._place if m != model and m not in self._persist)
            rivals = frozenset(m for m in others if not beside >> self._place[m] & 1)
            rivals = self._rivals[model] = frozenset() if model in self._persist else rivals
        return rivals

    def evictors(self, model: str) -> frozenset[str]:
        return self.rivals(model)

    def kind(self, model: str) -> str:
        return self._kinds[model]

    def options(self, target: str, residents: frozenset[str]) -> tuple[Option, ...]:
        """One for each set that holds the target; one, when there is none."""
        if target in residents or target in self._persist:
            why = "is resident already" if target in residents else "persists"
            return (Option(f"{target} {why}, and nobody leaves for it", (), 0),)
        found = sorted(self._states(target, residents), key=lambda state: -state[1])
        everything = sum(self._costs[place] for place in self._present(residents))
        if not found:
            victims = self._leaving(0, residents)
            return (Option(_alone(target), victims, everything),)
        return tuple(
            Option(_set(named), self._leaving(kept, residents), everything - weight)
            for kept, weight, named in found
        )

    def cost(self, model: str) -> int:
        return self._costs[self._place[model]]

    def priced(self, costs: Mapping[str, int]) -> MatrixPolicy:
        policy = copy(self)
        policy._costs = [costs.get(model, self.cost(model)) for model in self._models]  # noqa: SLF001 - its own kind
        policy._verdicts = {}  # noqa: SLF001 - its own kind
        return policy

    def _decide(self, target: str, residents: frozenset[str]) -> Verdict:
        everything = sum(self._costs[place] for place in self._present(residents))
        kept, best, chosen = 0, -1, None
        for state, weight, named in self._states(target, residents):
            if weight > best:
                kept, best, chosen = state, weight, named
            if weight == everything:
                break
        victims = self._leaving(kept, residents)
        if chosen is None:
            return Verdict(victims, _alone(target)) if victims else Verdict()
        why = f"{_set(chosen)}, eviction cost {everything - best}"
        return Verdict(victims, why) if victims else Verdict()

    def _states(
        self, target: str, residents: frozenset[str]
    ) -> Iterator[tuple[int, int, NamedSet]]:
        """Of each set that holds the target, in order: (the models of its best state, what of the residents' costs is kept)."""
        place = self._place[target]
        weights = {n: self._costs[n] for n in self._present(residents)}
        certain = sum(weights.values()) + 1  # more than all others: the target is always kept
        weights[place] = certain
        search = Search(weights, sum(1 << n for n in weights))
        for named, root in self._sets:
            if root.models >> place & 1:
                state, weight = search.best(root)
                yield state, weight - certain, named

    def _present(self, residents: frozenset[str]) -> list[int]:
        return sorted(self._place[r] for r in residents - self._persist)

    def _leaving(self, kept: int, residents: frozenset[str]) -> tuple[str, ...]:
        return tuple(self._models[n] for n in self._present(residents) if not kept >> n & 1)

    def _alike(self, occurrences: Collection[tuple[int, ...]]) -> dict[str, str]:
        """Each model's kind: the first that stands in the same places."""
        first: dict[tuple[object, ...], str] = {}
        return {
            model: first.setdefault((model in self._persist, where), model)
            for model, where in zip(self._models, occurrences, strict=True)
        }


def _alone(target: str) -> str:
    return f"{target} is in no set and runs alone"


def _set(named: NamedSet) -> str:
    return f"set {named.name} ({named.text})"

"""llama-swap's groups. For a target T of group G and a resident R of group H:

1. H is G and G swaps: R leaves.
2. H is not G, G is exclusive and H is not persistent: R leaves.
3. Otherwise R stays. The rule is one-way, and asked also when T is resident already: loading a model of a group that is not
   exclusive leaves an exclusive group's model alone, whose next request then finds it in its way.
4. A `persist` model never leaves and makes nobody leave, unless its group loads together: then it is the group that loads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from corral.scheduler.policy import Option, Verdict


@dataclass(frozen=True, slots=True)
class GroupRules:
    """One group; llama-swap's three words and `loadTogether`."""

    name: str
    members: tuple[str, ...]
    swap: bool = True
    exclusive: bool = True
    persistent: bool = False
    together: bool = False


class Groups:
    """The policy of a set of groups. A model that is in no group is in `(default)`, where members replace each other."""

    def __init__(
        self,
        models: Collection[str],
        groups: Collection[GroupRules],
        persist: Collection[str] = (),
    ) -> None:
        default = GroupRules("(default)", ())
        found = {member: group for group in groups for member in group.members}
        self._group: Mapping[str, GroupRules] = {m: found.get(m, default) for m in models}
        self._place = {model: n for n, model in enumerate(models)}
        self._persist = frozenset(persist)
        self._modest = frozenset(m for m in persist if not self._moves(self._group[m]))
        self._kind = {m: self._kind_of(m) for m in models}
        # By kind: a thousand models of one group share one answer, and may be in it themselves.
        self._victims: dict[str, frozenset[str]] = {}
        self._evictors: dict[str, frozenset[str]] = {}
        self._rivals: dict[str, frozenset[str]] = {}

    def decide(self, target: str, residents: frozenset[str]) -> Verdict:
        victims = residents & self._evicted_by(target)
        if not victims or victims == {target}:
            return Verdict()
        victims -= {target}
        ordered = tuple(sorted(victims, key=self._place.__getitem__))
        return Verdict(ordered, self._why(target, ordered))

    def rivals(self, model: str) -> frozenset[str]:
        kind = self._kind[model]
        rivals = self._rivals.get(kind)
        if rivals is None:
            rivals = self._rivals[kind] = self._evicted_by(model) | self.evictors(model)
        return rivals

    def evictors(self, model: str) -> frozenset[str]:
        kind = self._kind[model]
        evictors = self._evictors.get(kind)
        if evictors is None:
            evictors = frozenset(m for m in self._place if self._evicts(m, model))
            self._evictors[kind] = evictors
        return evictors

    def kind(self, model: str) -> str:
        return self._kind[model]

    def options(self, target: str, residents: frozenset[str]) -> tuple[Option, ...]:
        """One: the target's group."""
        verdict = self.decide(target, residents)
        return (Option(verdict.why or self._why_nobody(target), verdict.victims),)

    def cost(self, model: str) -> None:
        """Groups do not weigh."""

    def priced(self, _: Mapping[str, int]) -> Groups:
        return self

    def _kind_of(self, model: str) -> str:
        bearing = "modest" if model in self._modest else "persistent"
        return f"{bearing if model in self._persist else 'ordinary'} in {self._group[model].name}"

    def _evicted_by(self, target: str) -> frozenset[str]:
        kind = self._kind[target]
        victims = self._victims.get(kind)
        if victims is None:
            victims = frozenset(m for m in self._place if self._evicts(target, m))
            self._victims[kind] = victims
        return victims

    def _evicts(self, target: str, resident: str) -> bool:
        if resident in self._persist or target in self._modest:
            return False
        ours, theirs = self._group[target], self._group[resident]
        if ours is theirs:
            return ours.swap
        return ours.exclusive and not theirs.persistent

    def _moves(self, group: GroupRules) -> bool:
        return group.together and not self._persist.issuperset(group.members)

    def _why(self, target: str, victims: Collection[str]) -> str:
        ours = self._group[target]
        inside = any(self._group[v] is ours for v in victims)
        outside = any(self._group[v] is not ours for v in victims)
        reasons = [f"the models of group {ours.name} replace each other"] if inside else []
        if outside:
            reasons.append(f"group {ours.name} is exclusive")
        return " and ".join(reasons)

    def _why_nobody(self, target: str) -> str:
        if target in self._modest:
            return f"{target} persists, and runs beside everything else"
        return f"group {self._group[target].name} asks nobody here to leave"

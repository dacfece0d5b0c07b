"""The best state of a matrix expression, without ever expanding it.

A *state* is one member of the family that an expression denotes: a set of models, here a bit mask. The search wants the state that
keeps the most weight; among equals the first in the order of the full expansion (`|`: left to right; `&`: the left part's order
first). It looks at the *relevant* models only (the target and those resident); states that look the same then are one state.

1. Irrelevant parts are skipped, a part that occurs twice is solved once.
2. A partial state counts the weight of what it alone decides. What a sibling under some `&` may also hold is its *interface*: it is
   not counted yet, for two parts that keep the same model keep it once.
3. A partial state is dropped only when another does at least as well whatever the siblings choose, and would also win the tie:
   its interface holds the other's, and it weighs more; or as much, and comes first or holds the whole of the other.
4. Without an interface one state remains. An expression in which no model stands in two parts of an `&` costs a walk over its tree.

Choosing among parts that share models is set cover, so the worst case stays exponential: in the number of relevant models shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from corral.config.matrix import Every, Expression, One

State = tuple[int, int]
"""(all its relevant models, the weight that is its own to count)."""

NOBODY: list[State] = [(0, 0)]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An expression over bits. A shared sub-expression is one node."""

    models: int
    parts: tuple[Node, ...] = ()
    together: bool = False
    """`&`, else `|` (or, without parts, one model)."""


Compiled = dict[int, tuple[Expression, Node]]
"""By identity of the expression, which is kept so that the identity stays its own."""


def compiled(expression: Expression, bits: Mapping[str, int], seen: Compiled) -> Node:
    """`expression` with each model's bit. `seen` goes by identity: to compare two trees with shared branches can take for ever."""
    known = seen.get(id(expression))
    if known is not None:
        return known[1]
    if isinstance(expression, One):
        node = Node(bits[expression.model])
    else:
        parts = tuple(compiled(part, bits, seen) for part in expression.parts)
        node = Node(_union([p.models for p in parts]), parts, isinstance(expression, Every))
    seen[id(expression)] = (expression, node)
    return node


def companions(roots: Sequence[Node], bits: int) -> list[int]:
    """For each of `bits` models, by place: who stands with it in some state of some root."""
    beside = [0] * bits
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        todo.extend(node.parts)
        if node.together:
            for part, others in zip(node.parts, _others(node.parts), strict=True):
                for place in _places(part.models):
                    beside[place] |= others
    return beside


def twins(roots: Sequence[Node], bits: int) -> list[tuple[int, ...]]:
    """For each of `bits` models, by place: where it stands. Models that stand in the same places, as alternatives of the same `|`, can
    be exchanged: what there is for one, there is for the other, with the same others."""
    where: list[set[int]] = [set() for _ in range(bits)]
    seen: set[int] = set()
    todo = list(roots)
    for root in roots:
        if not root.parts:
            where[_places(root.models)[0]].add(-1 - root.models)
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for part in node.parts:
            if part.parts:
                todo.append(part)
            else:  # what stands in an `&` by itself is like nobody else
                where[_places(part.models)[0]].add(-1 - part.models if node.together else len(seen))
    return [tuple(sorted(places)) for places in where]


class Search:
    """One question: which state of a node keeps the most `weights` (by place) of the `relevant` models."""

    def __init__(self, weights: Mapping[int, int], relevant: int) -> None:
        self._weights = weights
        self._relevant = relevant
        self._weighed: dict[int, int] = {0: 0}
        self._solved: dict[tuple[int, int], list[State]] = {}

    def best(self, root: Node) -> State:
        """(the models kept, their weight): most weight, then first in order."""
        return self._states(root, 0)[0]

    def _states(self, node: Node, outside: int) -> list[State]:
        """The states worth keeping, in order, of a node with relevant models. `outside`: what siblings may hold too."""
        models = node.models & self._relevant
        outside &= models
        if not node.parts:
            return [(models, self._weigh(models & ~outside))]
        key = (id(node), outside)
        states = self._solved.get(key)
        if states is None:
            solve = self._every if node.together else self._either
            states = self._solved[key] = solve(node, outside)
        return states

    def _either(self, node: Node, outside: int) -> list[State]:
        states: list[State] = []
        nobody = False
        for part in node.parts:
            if part.models & self._relevant:
                states.extend(self._states(part, outside))
            elif not nobody:
                nobody = True
                states.append((0, 0))
        return _undominated(states, outside)

    def _every(self, node: Node, outside: int) -> list[State]:
        parts = [part for part in node.parts if part.models & self._relevant]
        later = _later(parts)
        states = NOBODY
        for part, others, rest in zip(parts, _others(parts), later, strict=True):
            choices = self._states(part, outside | others)
            undecided = outside | rest
            states = _undominated(
                self._counted([(s | c, 0) for s, _ in states for c, _ in choices], undecided),
                undecided,
            )
        return states

    def _counted(self, states: Sequence[State], outside: int) -> list[State]:
        return [(models, self._weigh(models & ~outside)) for models, _ in states]

    def _weigh(self, models: int) -> int:
        weight = self._weighed.get(models)
        if weight is None:
            weight = sum(self._weights[place] for place in _places(models))
            self._weighed[models] = weight
        return weight


def _undominated(states: Sequence[State], outside: int) -> list[State]:
    """Law 3. Without an interface the heaviest remains, the first of equals."""
    if not outside:
        return [max(states, key=lambda state: state[1])]
    kept: list[State] = []
    for models, weight in states:
        shared = models & outside
        if any(not shared & ~m and w >= weight for m, w in kept):
            continue
        kept = [
            (m, w)
            for m, w in kept
            if m & outside & ~shared or w > weight or (w == weight and m & ~models)
        ]
        kept.append((models, weight))
    return kept


def _union(masks: Sequence[int]) -> int:
    whole = 0
    for mask in masks:
        whole |= mask
    return whole


def _later(parts: Sequence[Node]) -> list[int]:
    """For each part: the models of those after it."""
    masks = [part.models for part in reversed(parts)]
    return list(accumulate(masks[:-1], lambda a, b: a | b, initial=0))[::-1] if masks else []


def _others(parts: Sequence[Node]) -> list[int]:
    """For each part: the models of all the others."""
    before = accumulate((p.models for p in parts), lambda a, b: a | b, initial=0)
    return [b | after for b, after in zip(before, _later(parts), strict=False)]


def _places(mask: int) -> list[int]:
    places = []
    while mask:
        low = mask & -mask
        places.append(low.bit_length() - 1)
        mask ^= low
    return places

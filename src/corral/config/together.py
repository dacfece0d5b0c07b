"""Whether several models may be resident side by side, by the groups or the matrix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from corral.config.matrix import Either, Every, Expression, Matrix, One
from corral.config.model import Group

PATIENCE = 500_000
"""Looks at a node (well under a second) after which a matrix is too tangled to say no."""
DEEPEST = 150


@dataclass(frozen=True, slots=True)
class Residency:
    """Groups or a matrix; `persist` models are members of every group and set."""

    groups: Mapping[str, Group]
    matrix: Matrix | None = None
    persist: Collection[str] = ()

    def apart(self, models: Sequence[str]) -> str:
        """Why `models` (real ids) cannot all be resident, "" when they can."""
        bound = [model for model in models if model not in self.persist]
        if len(bound) < 2:
            return ""
        return self._sets_apart(bound) if self.matrix else self._groups_apart(bound)

    def _sets_apart(self, models: Sequence[str]) -> str:
        wanted = frozenset(models)
        sets = self.matrix.sets if self.matrix else ()
        if hold([named.expression for named in sets], wanted):
            return ""
        return f"{_and(models)} must all appear together in one expanded matrix set"

    def _groups_apart(self, models: Sequence[str]) -> str:
        of = {model: name for name, row in self.groups.items() for model in row.members}
        first = models[0]
        for model in models:
            if of.get(model) != of.get(first):
                return (
                    f"{_and(models)} must share one routing group with swap: false; `{first}` is in "
                    f"`{of.get(first)}`, `{model}` in `{of.get(model)}`"
                )
        name = of.get(first, "")
        if name in self.groups and self.groups[name].swap:
            return f"{_and(models)} must share a group with swap: false, and `{name}` swaps"
        return ""


def hold(expressions: Iterable[Expression], wanted: frozenset[str]) -> bool:
    """Whether some set of the families that `expressions` denote holds all `wanted` models.

    The question is a hard one in general: after `PATIENCE` steps the answer is yes.
    """
    cover = _Cover()
    try:
        return any(cover.holds(expression, wanted, 0) for expression in expressions)
    except _TangledError:
        return True


class _TangledError(Exception):
    pass


class _Cover:
    def __init__(self) -> None:
        self._models: dict[int, frozenset[str]] = {}
        self._answers: dict[tuple[int, frozenset[str]], bool] = {}
        self._steps = 0

    def holds(self, node: Expression, wanted: frozenset[str], depth: int) -> bool:
        if not wanted:
            return True
        if not wanted <= self._of(node, depth):
            return False
        key = (id(node), wanted)
        if key not in self._answers:
            self._step(depth)
            self._answers[key] = self._decide(node, wanted, depth + 1)
        return self._answers[key]

    def _decide(self, node: Expression, wanted: frozenset[str], depth: int) -> bool:
        if isinstance(node, Either):
            return any(self.holds(part, wanted, depth) for part in node.parts)
        if isinstance(node, Every):
            return self._spread(node.parts, wanted, (frozenset(),) * len(node.parts), depth)
        return True

    def _spread(
        self,
        parts: tuple[Expression, ...],
        left: frozenset[str],
        given: tuple[frozenset[str], ...],
        depth: int,
    ) -> bool:
        """Whether the models `left` can be given to parts that hold some (`given`) already. The model
        with the fewest places goes first."""
        if not left:
            return True
        self._step(depth, len(left) * len(parts))
        places = {
            model: [n for n, part in enumerate(parts) if model in self._of(part, depth)]
            for model in left
        }
        model = min(sorted(left), key=lambda one: len(places[one]))
        for n in places[model]:
            more = given[n] | {model}
            if self.holds(parts[n], more, depth):
                spread = (*given[:n], more, *given[n + 1 :])
                if self._spread(parts, left - {model}, spread, depth + 1):
                    return True
        return False

    def _of(self, node: Expression, depth: int) -> frozenset[str]:
        """Every model that stands in it."""
        if isinstance(node, One):
            return frozenset({node.model})
        found = self._models.get(id(node))
        if found is None:
            self._step(depth)
            inside = (self._of(part, depth + 1) for part in node.parts)
            found = self._models[id(node)] = frozenset().union(*inside)
        return found

    def _step(self, depth: int, looks: int = 1) -> None:
        self._steps += looks
        if self._steps > PATIENCE or depth > DEEPEST:
            raise _TangledError


def _and(models: Sequence[str]) -> str:
    *first, last = [f"`{model}`" for model in models]
    return f"{', '.join(first)} and {last}" if first else last

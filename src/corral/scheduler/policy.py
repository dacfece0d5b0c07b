"""Who must leave for whom: the question that `groups.py` and `matrix.py` answer.

1. A policy is a pure value. It knows nothing of queues, processes or time.
2. A `persist` model is never a victim, and evicts nobody: it has to fit beside everything else.
3. Fewer residents never mean more victims when there were none.
4. When the victims are gone, there are no others: whoever is asked for can run at last, whatever the configuration says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Verdict:
    """`victims` must be gone before the target may be used, in the order of the configuration; `why`, for people."""

    victims: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to make room, for people: the group or the set that allows it, who would leave, and what that costs (None: this policy
    does not weigh)."""

    rule: str
    victims: tuple[str, ...] = ()
    cost: int | None = None


class Policy(Protocol):
    """What the machine asks. Answers depend on the arguments alone, and repeated questions are cheap."""

    def decide(self, target: str, residents: frozenset[str]) -> Verdict:
        """Who must leave before `target` may be used. `target` may itself be resident; it is never its own victim."""
        ...

    def rivals(self, model: str) -> frozenset[str]:
        """Those that can never be used together with `model`: either, asked for, would evict the other. May name `model` itself."""
        ...

    def evictors(self, model: str) -> frozenset[str]:
        """Those for whom `model`, resident, always has to leave when they are not resident themselves, whoever else is there."""
        ...

    def kind(self, model: str) -> str:
        """Models of one kind have the same rivals (but for themselves) and, as long as they are not resident, the same victims."""
        ...

    def options(self, target: str, residents: frozenset[str]) -> tuple[Option, ...]:
        """What could be done for `target`, one per set, best first: the first is what `decide` says."""
        ...

    def cost(self, model: str) -> int | None:
        """What it costs to evict `model`; None when this policy does not weigh."""
        ...

    def priced(self, costs: Mapping[str, int], /) -> Policy:
        """The same policy, for which evicting these models costs this."""
        ...

"""Which of a selector's targets a request goes to. Pure: told what each target is doing, it ranks them.

`pin` takes the first; `warm` what is ready, else what is loading, else the first; `spillover` fills a target up to its limit before it
wakes another one. What is not available (a peer that is down) comes after everything that is. llama-swap refuses when all spillover
targets are stopping; here such a target comes last, and the request waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from corral.scheduler.residency import State

_WARMTH = {State.READY: 0, State.LOADING: 1}
_LEAVING = (State.DRAINING, State.UNLOADING)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`state` is None for a peer's model; `reserved` counts the requests that this selector has sent there and that are not over."""

    state: State | None
    reserved: int = 0
    available: bool = True

    @property
    def active(self) -> bool:
        """It serves already, or is about to."""
        return self.state in _WARMTH or (self.reserved > 0 and self.state not in _LEAVING)


def ranked(
    strategy: str, candidates: Sequence[Candidate], *, limit: int = 1, turn: int = 0
) -> list[int]:
    """Indices of `candidates`, best first: the second is for when the first turns out to be down.

    `limit` is what `spillover` lets one target have before it wakes the next; `turn` counts its requests, so that equals take turns.
    """
    order = _STRATEGIES[strategy](candidates, limit, turn)
    return sorted(order, key=lambda i: not candidates[i].available)


def _pin(candidates: Sequence[Candidate], _limit: int, _turn: int) -> list[int]:
    return list(range(len(candidates)))


def _warm(candidates: Sequence[Candidate], _limit: int, _turn: int) -> list[int]:
    def warmth(i: int) -> int:
        state = candidates[i].state
        return 2 if state is None else _WARMTH.get(state, 2)

    return sorted(range(len(candidates)), key=warmth)


def _spillover(candidates: Sequence[Candidate], limit: int, turn: int) -> list[int]:
    count = len(candidates)
    usable = [i for i in range(count) if candidates[i].available]
    active = [i for i in usable if candidates[i].active]
    cold = [i for i in usable if not candidates[i].active and candidates[i].state not in _LEAVING]
    active.sort(key=lambda i: (candidates[i].reserved, (i - turn) % count))
    room = bool(active) and candidates[active[0]].reserved < limit
    first = [*active, *cold] if room or not cold else [*cold, *active]
    return [*first, *(i for i in range(count) if i not in first)]


_STRATEGIES: Mapping[str, Callable[[Sequence[Candidate], int, int], list[int]]] = {
    "pin": _pin,
    "warm": _warm,
    "spillover": _spillover,
}

"""Who seeks room, in every order in which somebody asks; so that a thousand models that all want the same cost little to look at.

A model seeks room when somebody waits for it and it has no process.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator

from corral.scheduler.residency import Resident

Aged = tuple[int, Resident]
"""(number of its oldest request, the model); numbers are unique, so that models are never compared."""


class Board:
    """The models that seek room. `kind` says of which kind a model is (`policy.py`)."""

    def __init__(self, kind: Callable[[str], str]) -> None:
        self._kind = kind
        self._by_age: list[Aged] = []
        self._by_priority: dict[int, list[Aged]] = {}
        self._alike: dict[str, dict[str, Resident]] = {}
        self._seeking: dict[str, Resident] = {}

    @property
    def seeking(self) -> Collection[str]:
        return self._seeking.keys()

    @property
    def by_age(self) -> list[Aged]:
        """The one whose oldest request is the oldest first. A list of its own."""
        return self._by_age.copy()

    @property
    def by_priority(self) -> Iterator[Resident]:
        """The highest priority first, then by age."""
        for priority in sorted(self._by_priority, reverse=True):
            for _, model in self._by_priority[priority].copy():
                yield model

    @property
    def oldest(self) -> int | None:
        """The number of the oldest request of all."""
        return self._by_age[0][0] if self._by_age else None

    def alike(self, model: Resident) -> Collection[str]:
        """Those of its kind that seek room."""
        return self._alike[self._kind(model.model)].keys()

    def list(self, model: Resident) -> None:
        """Put `model` where it belongs now, if anywhere."""
        oldest = model.line.oldest
        number = oldest.number if oldest and model.seeks_room else 0
        if model.listed == number:
            return
        if model.listed:
            self._take(model)
        model.listed = number
        if number:
            self._put(model)

    def _put(self, model: Resident) -> None:
        entry = model.listed, model
        insort(self._by_age, entry)
        insort(self._by_priority.setdefault(model.priority, []), entry)
        self._alike.setdefault(self._kind(model.model), {})[model.model] = model
        self._seeking[model.model] = model

    def _take(self, model: Resident) -> None:
        for entries in (self._by_age, self._by_priority[model.priority]):
            del entries[bisect_left(entries, (model.listed,))]
        del self._alike[self._kind(model.model)][model.model]
        del self._seeking[model.model]

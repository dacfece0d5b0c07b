"""What a configuration makes of the requests for a model: another model name, fields taken out, fields set.

1. The order is `useModelName`, `stripParams`, `setParams`, then `setParamsByID` of the name that led here. No filter touches `model`.
2. All of it is worked out here, once per configuration; a model without filters costs its requests one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from corral.config.relaying import Filters
from corral.dialects import paths
from corral.dialects.changes import MODEL, Change, Changes, changed
from corral.dialects.paths import Path
from corral.errors import InvalidRequest

Step: TypeAlias = tuple[Path, bytes | None]
"""A path in the body, and the JSON text that comes there; None: nothing stays there."""


class Rewrite:
    """The filters of one model (or peer), compiled. `model` is the name its server knows it by; empty: it takes the client's."""

    def __init__(self, filters: Filters, model: str = "") -> None:
        common = [*_cuts(filters.strip_params), *_sets(filters.set_params)]
        self._common = _changes(common, model)
        self._by_name = {
            name: _changes([*common, *_sets(params)], model)
            for name, params in filters.set_params_by_id.items()
        }

    def changes(self, name: str, *, model: str = "") -> Changes | None:
        """What changes in a request that was led here by `name`; None: nothing.

        `model` is what the server is told where the configuration has no name for it: what a selector or profile chose instead of the
        client's.
        """
        changes = self._by_name.get(name, self._common)
        if model and not changes.model:
            return replace(changes, model=model)
        return changes or None


def _cuts(names: Sequence[str]) -> list[Step]:
    return [(paths.parse(name), None) for name in names]


def _sets(params: Mapping[str, Any]) -> list[Step]:
    return [(paths.parse(name), msgspec.json.encode(params[name])) for name in sorted(params)]


def _changes(steps: Sequence[Step], model: str) -> Changes:
    """The same, sorted out by the member that they change."""
    fixed: dict[str, bytes | None] = {}
    inside: dict[str, list[Change]] = {}
    for (first, *rest), value in steps:
        name = first.name
        if name == MODEL:
            continue
        if not rest:
            fixed[name] = value
            inside.pop(name, None)
        elif name in fixed and (known := _settled(fixed[name], (tuple(rest), value))) is not None:
            fixed[name] = known or None
        else:
            whole = [((), fixed.pop(name))] if name in fixed else []
            inside.setdefault(name, list(whole)).append((tuple(rest), value))
    return Changes(model, fixed, inside)


def _settled(value: bytes | None, change: Change) -> bytes | None:
    """What a change makes of a value that is known already. None: nothing good; requests will be told."""
    try:
        return changed(value or b"", [change])
    except InvalidRequest:
        return None

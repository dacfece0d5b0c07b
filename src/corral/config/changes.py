"""What a new configuration changes: who has to be launched anew, who only follows other rules, who is gone.

1. A process is launched anew only for what it was launched with: its command, its environment, its address. Texts are compared
   before ports and sockets are filled in, so that a model that another one's removal would give another port keeps its own.
2. How it is checked matters only until it is ready: with another `checkEndpoint` a load begins anew, a ready model stays.
3. Everything else (`ttl`, groups, limits, names, ...) applies to what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from corral.config.command import LaunchSpec
from corral.config.matrix import Expression, Matrix, One
from corral.config.model import Config

Names = tuple[str, ...]
Specs = Mapping[str, LaunchSpec]
Shapes = dict[tuple[object, ...], int]

FIXED = frozenset({"listen", "logToStdout", "sessions.importState", "sessions.store", "store"})
"""Settings that corral reads once, when it starts."""
WRITTEN = {"imports": "sessions.importState", "preload": "hooks", "scheduling": "routing.scheduler"}
"""Settings that stand elsewhere in a file than in a `Config`."""
UNTOLD = frozenset({"keeps_responses", "models", "ports", "preset_marks", "router_ports", "notes"})
"""Not settings of their own."""


@dataclass(frozen=True, slots=True)
class Changes:
    """By model id, in the order of the new configuration (`removed`: of the old one). Each id is in exactly one of `added`, `removed`,
    `restarted`, `updated`, `kept`."""

    added: Names = ()
    removed: Names = ()
    restarted: Names = ()
    """To be launched anew when they are used next."""
    updated: Names = ()
    """Something else about them changed, which applies at once."""
    kept: Names = ()
    rechecked: Names = ()
    """Of all these, those whose readiness is found out in another way."""
    settings: Names = ()
    """What changed beside the models, as it is written: `groups`, `apiKeys`."""
    preload: Names = ()
    """The models that are to be loaded at start, and were not before."""
    notes: Names = ()
    """What changed and takes effect only when corral itself is started again, one line each."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.restarted or self.updated or self.settings)


def changes(old: Config, new: Config, was: Specs, now: Specs) -> Changes:
    """What `new` changes. `was` and `now` are how each model of the old and of the new configuration is launched."""
    both = [model for model in new.models if model in old.models]
    restarted = [model for model in both if was[model].launched != now[model].launched]
    same = [model for model in both if model not in set(restarted)]
    updated = [model for model in same if old.models[model] != new.models[model]]
    settings = tuple(_settings(old, new))
    return Changes(
        added=tuple(model for model in new.models if model not in old.models),
        removed=tuple(model for model in old.models if model not in new.models),
        restarted=tuple(restarted),
        updated=tuple(updated),
        kept=tuple(model for model in same if model not in set(updated)),
        rechecked=tuple(model for model in both if was[model].check != now[model].check),
        settings=settings,
        preload=tuple(model for model in new.preload if model not in old.preload),
        notes=tuple(
            f"`{name}` changed, which takes effect when corral is started again"
            for name in settings
            if name in FIXED
        ),
    )


def _settings(old: Config, new: Config) -> Iterator[str]:
    shapes: Shapes = {}
    for name, field in Config.model_fields.items():
        if name in UNTOLD:
            continue
        before, after = getattr(old, name), getattr(new, name)
        if name == "matrix":
            before, after = _flat(before, shapes), _flat(after, shapes)
        if name == "preload":
            before, after = _preloaded(old), _preloaded(new)
        if before != after:
            yield WRITTEN.get(name) or field.alias or name
    if old.sessions.store != new.sessions.store:
        yield "sessions.store"


def _preloaded(config: Config) -> Names:
    """What is preloaded because `hooks` say so."""
    return tuple(model for model in config.preload if model != config.switching.active)


def _flat(matrix: Matrix | None, shapes: Shapes) -> object:
    """A matrix that is quickly compared with another one of the same `shapes`: two trees with shared branches are not."""
    if matrix is None:
        return None
    seen: dict[int, int] = {}
    sets = [(s.name, s.text, _shape(s.expression, seen, shapes)) for s in matrix.sets]
    return sets, dict(matrix.evict_costs), matrix.learned


def _shape(expression: Expression, seen: dict[int, int], shapes: Shapes) -> int:
    """The same number for the same tree. `seen` goes by identity: each branch is walked once."""
    known = seen.get(id(expression))
    if known is None:
        match expression:
            case One(model):
                shape: tuple[object, ...] = (One, model)
            case _:
                parts = (_shape(part, seen, shapes) for part in expression.parts)
                shape = (type(expression), *parts)
        known = seen[id(expression)] = shapes.setdefault(shape, len(shapes))
    return known

"""How long models take to load, to stop and to serve one request: assumed, or said in a small file.

load: 12            # every model that is not named below
models:
  qwen:
    load: 40
    service: 3.5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from corral.config.document import Document, Path, Problems
from corral.config.nearest import did_you_mean
from corral.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: from the start of a process until it is ready; from being told to stop until it is gone; one request's answer."""

    load: float = 10.0
    stop: float = 1.0
    service: float = 2.0

    def __str__(self) -> str:
        return f"load {self.load:g} s, stop {self.stop:g} s, service {self.service:g} s"


KEYS = tuple(row.name for row in fields(Pace))


@dataclass(frozen=True, slots=True)
class Times:
    """The pace of every model."""

    usual: Pace = Pace()
    models: Mapping[str, Pace] = field(default_factory=dict)

    def of(self, model: str) -> Pace:
        return self.models.get(model, self.usual)


def read_times(
    document: Document,
    given: Mapping[str, float],
    resolve: Callable[[str], str] = lambda model: model,
) -> Times:
    """What `document` says. `given` (by `Pace`'s names) goes before what it says of every model, but not of one.

    Raises ConfigError with every mistake. `resolve` gives a model's id, or raises ModelNotFound.
    """
    problems = Problems(document)
    said = {key: value for key, value in document.data.items() if key != "models"}
    usual = replace(Pace(), **{**_pace(said, (), problems, "models"), **given})
    written = document.data.get("models") or {}
    models: dict[str, Pace] = {}
    if not isinstance(written, Mapping):
        problems.add(("models",), "must be a mapping of models")
        written = {}
    for name, values in written.items():
        path = ("models", name)
        if not isinstance(values, Mapping):
            problems.add(path, f"must be a mapping of {', '.join(KEYS)}")
            continue
        try:
            models[resolve(name)] = replace(usual, **_pace(values, path, problems))
        except ModelNotFound as error:
            problems.add(path, error.message)
    problems.raise_any()
    return Times(usual, models)


def _pace(
    values: Mapping[str, Any], path: Path, problems: Problems, *others: str
) -> dict[str, float]:
    said = {}
    for key, value in values.items():
        if key not in KEYS:
            hint = did_you_mean(key, (*KEYS, *others)) or f"; there are {', '.join(KEYS)}"
            problems.add((*path, key), f"unknown key `{key}`{hint}")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            problems.add((*path, key), "must be a number of seconds")
        elif not math.isfinite(value) or value < 0:
            problems.add((*path, key), f"must be 0 or more seconds, not {value}")
        else:
            said[key] = float(value)
    return said

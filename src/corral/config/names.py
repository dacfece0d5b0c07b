"""Every name that a request may use, and where it leads.

1. A local id wins over another model's alias; names that `filters.setParamsByID` gives parameters to
   are aliases, too.
2. A peer's model is called `peer/model`, and `model` where one peer alone has it and nothing here
   (an id, an alias, a selector) is called so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping

from corral.config.document import Path, Problems, Told
from corral.config.model import Model
from corral.config.nearest import did_you_mean
from corral.config.remote import Peer


def real_names(models: Mapping[str, Model], problems: Problems) -> dict[str, str]:
    """Every local name → the real model id. A name with two owners is noted in `problems`."""
    names: dict[str, str] = {}
    for model in sorted(models):
        for index, alias in enumerate(models[model].aliases):
            if alias in names:
                problems.add(("models", model, "aliases", index), _taken(alias, model, names))
            names.setdefault(alias, model)
    for model in sorted(models):
        for name, path in _parametrised(model, models[model]):
            if name in models:
                problems.add(path, f"`{name}` conflicts with an existing model ID")
            elif names.setdefault(name, model) != model:
                problems.add(path, _taken(name, model, names))
    return names | {model: model for model in models}


def all_aliases(model: str, row: Model) -> tuple[str, ...]:
    """The aliases that are written, then those that `setParamsByID` makes; each once."""
    made = (name for name, _ in _parametrised(model, row))
    return tuple(dict.fromkeys((*row.aliases, *made)))


def peer_names(peers: Mapping[str, Peer], taken: Container[str] = ()) -> dict[str, tuple[str, str]]:
    """Every name of a peer's model → the peer's id and the peer's own model id. Names in `taken`
    are somebody else's."""
    bare = {
        model: (peer, model)
        for peer, row in peers.items()
        for model in row.models
        if model not in taken
    }
    offers = Counter(model for row in peers.values() for model in dict.fromkeys(row.models))
    only = {model: where for model, where in bare.items() if offers[model] == 1}
    return only | {name: (peer, model) for name, peer, model in qualified(peers)}


def named(name: str, names: Mapping[str, str], path: Path, told: Told) -> str:
    """The real id for a local name; "" for an unknown one, which is told."""
    if name not in names:
        told(path, f"unknown model `{name}`{did_you_mean(name, names)}")
    return names.get(name, "")


def qualified(peers: Mapping[str, Peer]) -> Iterator[tuple[str, str, str]]:
    """`peer/model`, peer id, model id; in the order written."""
    for peer, row in peers.items():
        for model in dict.fromkeys(row.models):
            yield f"{peer}/{model}", peer, model


def _parametrised(model: str, row: Model) -> Iterator[tuple[str, Path]]:
    for name in row.filters.set_params_by_id:
        if name != model:
            yield name, ("models", model, "filters", "setParamsByID", name)


def _taken(name: str, model: str, names: Mapping[str, str]) -> str:
    return (
        f"duplicate alias {name} found in model: {model}; it is an alias of {names[name]} already"
    )

"""Peers, selectors, profiles and the default model, checked against the names that there are.

1. A request's name is looked for among the active profile's pins, then the selectors, then the models
   here, then the peers'. A pin may lead to a selector, a selector to models only, nothing to a pin.
2. A peer's full name (`peer/model`) is nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from corral.config.address import wrong_address
from corral.config.document import Path, Problems
from corral.config.keeping import ACTIVE
from corral.config.matrix import Matrix
from corral.config.model import Group
from corral.config.names import peer_names, qualified
from corral.config.nearest import did_you_mean
from corral.config.relaying import Filters, effective, idle_filters
from corral.config.remote import Peer
from corral.config.together import Residency
from corral.config.virtual import Profile, Selector
from corral.config.written import File


class Elsewhere:
    """The three sections of one file. `names`: every local name → the real id."""

    def __init__(self, file: File, names: Mapping[str, str], problems: Problems) -> None:
        self._file = file
        self._names = names
        self._problems = problems
        self._peers = peer_names(file.peers, {**names, **file.selectors})
        # What is wrong with these may be why a name is unknown; that was told already.
        self._half_read = any(
            path[0] in ("peers", "selectors") and (len(path) == 1 or path[2:3] == ("models",))
            for path in problems.paths
        ) or any(len(path) == 2 and path[0] == "peers" for path in problems.paths)

    def peers(self) -> dict[str, Peer]:
        """As they are in effect."""
        for peer, row in self._file.peers.items():
            self._peer(row, ("peers", peer))
        self._full_names()
        return {
            peer: row.model_copy(
                update={
                    "models": tuple(dict.fromkeys(row.models)),
                    "filters": _by_own_names(peer, row),
                }
            )
            for peer, row in self._file.peers.items()
        }

    def _peer(self, row: Peer, path: Path) -> None:
        if not str(path[1]).strip():
            self._problems.add(path, "a peer's name cannot be empty")
        if not row.proxy:
            self._needed(path, "proxy", "proxy is required")
        elif wrong := wrong_address(row.proxy):
            self._problems.add((*path, "proxy"), f"invalid peer proxy URL: {wrong}")
        if not row.models:
            self._needed(path, "models", "peer models can not be empty")
        for index, model in enumerate(row.models):
            if not model.strip():
                self._problems.add((*path, "models", index), "a model's name cannot be empty")

    def _needed(self, path: Path, key: str, message: str) -> None:
        """Notes that `key` is missing, at the key when it stands there without anything in it."""
        if not self._problems.within((*path, key)):
            self._problems.add((*path, key), message)

    def _full_names(self) -> None:
        owners: dict[str, tuple[str, str]] = {}
        for name, peer, model in qualified(self._file.peers):
            first = owners.setdefault(name, (peer, model))
            if first != (peer, model):
                index = self._file.peers[peer].models.index(model)
                self._problems.add(
                    ("peers", peer, "models", index),
                    f"peer model name `{name}` is also that of model `{first[1]}` of peer `{first[0]}`",
                )
        for path, kind, name in self._written_names():
            if name in owners:
                message = f"{kind} `{name}` conflicts with fully qualified peer model name"
                self._problems.add(path, message)

    def _written_names(self) -> Iterator[tuple[Path, str, str]]:
        for model, row in self._file.models.items():
            path: Path = ("models", model)
            yield path, "model ID", model
            for index, alias in enumerate(row.aliases):
                yield (*path, "aliases", index), "alias", alias
            for name in row.filters.set_params_by_id:
                if name != model and name not in row.aliases:
                    yield (*path, "filters", "setParamsByID", name), "alias", name
        for selector in self._file.selectors:
            yield ("selectors", selector), "selector ID", selector
        for profile, pins in self._file.profiles.items():
            for pin in pins.pins:
                yield ("profiles", profile, "pins", pin), "profile pin", pin

    def selectors(self, groups: Mapping[str, Group], matrix: Matrix | None) -> dict[str, Selector]:
        """As they are in effect."""
        persist = {model for model, row in self._file.models.items() if row.persist}
        residency = Residency(groups, matrix, persist)
        for name, row in self._file.selectors.items():
            path: Path = ("selectors", name)
            self._selector_name(name, path)
            if "strategy" not in row.model_fields_set:
                self._needed(path, "strategy", "strategy is required: warm, pin or spillover")
            if not row.targets:
                self._needed(path, "targets", "targets must have at least one entry")
            self._targets(row, path)
            if row.strategy == "spillover":
                self._spillover(row, path, residency)
        return dict(self._file.selectors)

    def _selector_name(self, name: str, path: Path) -> None:
        if not name.strip():
            self._problems.add(path, "a selector's name cannot be empty")
        if name in self._file.models:
            self._problems.add(path, f"name conflicts with model ID `{name}`")
        elif name in self._names:
            self._problems.add(path, f"name conflicts with an alias of model `{self._names[name]}`")

    def _targets(self, row: Selector, path: Path) -> None:
        for index, target in enumerate(row.targets):
            where = (*path, "targets", index)
            if target in self._file.selectors:
                message = f"`{target}` is a selector: selector chaining is not supported"
                self._problems.add(where, message)
            elif target not in self._names and target not in self._peers:
                self._unknown(target, where)
            elif row.strategy == "warm" and target not in self._names:
                message = f"`{target}` is a peer's model: `warm` needs models of this machine"
                self._problems.add(where, message)

    def _spillover(self, row: Selector, path: Path, residency: Residency) -> None:
        if row.spillover < 1:
            self._problems.add((*path, "settings", "spillover"), "must be at least 1")
        first: dict[tuple[str, str], str] = {}
        for index, target in enumerate(row.targets):
            leads = ("", self._names[target]) if target in self._names else self._peers.get(target)
            if leads is None:
                continue
            if leads in first:
                message = f"is the same model as `{first[leads]}`: duplicate target"
                self._problems.add((*path, "targets", index), message)
            first.setdefault(leads, target)
        here = [model for peer, model in first if not peer]
        if wrong := residency.apart(here):
            self._problems.add((*path, "targets"), wrong)

    def profiles(self) -> dict[str, Profile]:
        """As they are in effect."""
        for name, row in self._file.profiles.items():
            path: Path = ("profiles", name)
            if not name.strip():
                self._problems.add(path, "a profile's name cannot be empty")
            if not row.pins:
                self._needed(path, "pins", "pins must have at least one entry")
            for pin, target in row.pins.items():
                self._pin(pin, target, (*path, "pins", pin))
        return dict(self._file.profiles)

    def _pin(self, pin: str, target: str, path: Path) -> None:
        if not pin.strip():
            self._problems.add(path, "a pinned name cannot be empty")
        if target and not self._known(target):
            self._unknown(target, path)

    def default_model(self) -> str | None:
        """The name that stands in for a missing one; None for no such name."""
        name = self._file.default_model
        if name and name != ACTIVE and not self._known(name):
            self._unknown(name, ("defaultModel",), "unknown model")
        return name or None

    def _known(self, name: str) -> bool:
        return name in self._names or name in self._peers or name in self._file.selectors

    def _unknown(self, target: str, path: Path, said: str = "references unknown model") -> None:
        known = (*self._names, *self._peers, *self._file.selectors)
        offers = [name for name, _, model in qualified(self._file.peers) if model == target]
        hint = did_you_mean(target, known)
        if offers:
            hint = f": several peers have it; name one: {', '.join(f'`{name}`' for name in offers)}"
        if not self._half_read and ("selectors", target) not in self._problems.paths:
            self._problems.add(path, f"{said} `{target}`{hint}")


def _by_own_names(peer: str, row: Peer) -> Filters:
    """The filters in effect, with the peer's own names in `setParamsByID`, however they are written."""
    filters = effective(row.filters)
    own = {f"{peer}/{model}": model for model in row.models}
    by_id = {own.get(name, name): params for name, params in filters.set_params_by_id.items()}
    return filters.model_copy(update={"set_params_by_id": by_id})


def idle_peer_keys(file: File) -> Iterator[tuple[Path, str]]:
    """What is written in these sections and has no effect."""
    for peer, row in file.peers.items():
        path: Path = ("peers", peer)
        yield from idle_filters(row.filters, (*path, "filters"))
        known = {*row.models, *(f"{peer}/{model}" for model in row.models)}
        for name in row.filters.set_params_by_id:
            if name not in known:
                where = (*path, "filters", "setParamsByID", name)
                yield where, f"no model of this peer is called `{name}`{did_you_mean(name, known)}"
        for index, model in enumerate(row.models):
            if model in row.models[:index]:
                yield (*path, "models", index), "stands here twice"

"""Names to models. An id wins over another model's alias, both win over a peer's model; nothing else is
guessed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from corral.config.model import Config
from corral.config.names import peer_names, qualified
from corral.config.nearest import nearest
from corral.config.virtual import Selector
from corral.errors import ModelNotFound


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: a model here (its real id), or a peer's (the peer's own id for it)."""

    model: str
    peer: str = ""
    """The peer's id; "" for a model here."""
    name: str = ""
    """The name that was asked for: the key for `filters.set_params_by_id`."""

    @property
    def listed(self) -> str:
        """The name that is the same however it was asked for: a real id, or `peer/model`."""
        return f"{self.peer}/{self.model}" if self.peer else self.model


class Catalog:
    """Every name that a request may use."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._real = {
            alias: model
            for model in sorted(config.models)
            for alias in config.models[model].aliases
        }
        self._real.update({model: model for model in config.models})
        elsewhere = peer_names(config.peers, {**self._real, **config.selectors})
        self._targets = {
            name: Target(model, peer, name) for name, (peer, model) in elsewhere.items()
        }
        self._targets |= {name: Target(model, "", name) for name, model in self._real.items()}
        self._most_segments = most_segments(self._targets)

    def __repr__(self) -> str:
        return f"<Catalog: {len(self._config.models)} models, {len(self._real)} names>"

    def __contains__(self, name: str) -> bool:
        return name in self._real

    def resolve(self, name: str) -> str:
        """The real id for an id or an alias of a model here. Raises ModelNotFound, naming what is
        near."""
        try:
            return self._real[name]
        except KeyError:
            raise ModelNotFound(self._not_here(name)) from None

    def target(self, name: str) -> Target:
        """Where a request for `name` goes: a model here, or a peer's. Raises ModelNotFound, naming
        what is near; a selector has to choose first (`selector`)."""
        try:
            return self._targets[name]
        except KeyError:
            raise ModelNotFound(self._unknown(name)) from None

    def selector(self, name: str) -> Selector | None:
        """The selector of that name, None when it is none."""
        return self._config.selectors.get(name)

    def names(self) -> tuple[str, ...]:
        """What a listing shows of the models here, sorted: listed models, with
        `includeAliasesInList` their aliases."""
        listed = [model for model, row in self._config.models.items() if not row.unlisted]
        if self._config.include_aliases_in_list:
            listed += [alias for model in tuple(listed) for alias in self.aliases(model)]
        return tuple(sorted(set(listed)))

    def peer_models(self) -> tuple[Target, ...]:
        """Every peer's models by their full names (`Target.name`), sorted by them."""
        full = qualified(self._config.peers)
        return tuple(Target(model, peer, name) for name, peer, model in sorted(full))

    def selectors(self) -> tuple[str, ...]:
        """What a listing shows of the selectors, sorted."""
        rows = self._config.selectors.items()
        return tuple(sorted(name for name, row in rows if not row.unlisted))

    def aliases(self, model: str) -> tuple[str, ...]:
        """The other names that lead to `model` (a real id), in the order written."""
        written = dict.fromkeys(self._config.models[model].aliases)
        return tuple(name for name in written if name != model and self._real[name] == model)

    def longest_prefix(self, path: str) -> tuple[Target, str] | None:
        """The model that the longest run of leading segments of `path` names, and the rest.

        `path` is as it came, percent-encoding and all, without a leading `/`; only what is compared
        with the names is decoded. `a/b/v1/x%2Fy` → the target of `a/b`, `"/v1/x%2Fy"`; the rest is
        empty when nothing follows the name. Selectors are not looked at. None when no run names a
        model.
        """
        found = longest_run(path, self._targets, self._most_segments)
        return found and (self._targets[found[0]], found[1])

    def _not_here(self, name: str) -> str:
        if found := self._targets.get(name):
            return f"`{name}` is a model of the peer `{found.peer}`, not of this machine"
        return self._unknown(name)

    def _unknown(self, name: str) -> str:
        shown = name if len(name) <= 200 else name[:200] + "..."
        selectors = self._config.selectors
        if name in selectors:
            targets = _or(selectors[name].targets)
            return f"`{shown}` is a selector, which stands for others: name {targets} itself"
        near = nearest(shown, (*self._targets, *selectors), count=3)
        if near:
            return f"no model is called `{shown}`; did you mean {_or(near)}?"
        some = sorted(self._config.models) or sorted(self._targets)
        if not some:
            return f"no model is called `{shown}`: no models are configured"
        more = "" if len(some) <= 8 else ", ..."
        return f"no model is called `{shown}`; there are {', '.join(some[:8])}{more}"


def most_segments(names: Collection[str]) -> int:
    """How many segments a path has to be cut into before none of `names` can match more of them."""
    return 1 + max((name.count("/") for name in names), default=0)


def longest_run(path: str, names: Collection[str], most: int) -> tuple[str, str] | None:
    """Which of `names` is the longest run of leading segments of `path`, decoded, and the rest as it
    came; `most` is `most_segments(names)`. For an active profile's pins, too."""
    segments = path.split("/", most)
    for length in range(len(segments), 0, -1):
        run = "/".join(segments[:length])
        if (name := unquote(run)) in names:
            return name, path[len(run) :]
    return None


def _or(names: Iterable[str]) -> str:
    *first, last = [f"`{name}`" for name in names]
    return f"{', '.join(first)} or {last}" if first else last

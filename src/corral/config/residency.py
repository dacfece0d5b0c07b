"""Which models may be resident together: the group and matrix sections, in both spellings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from corral.config.document import Path, Problems
from corral.config.matrix import Matrix, Vocabulary, parse_sets
from corral.config.model import Group
from corral.config.nearest import did_you_mean
from corral.config.written import File, MatrixSection

DEFAULT = "(default)"
"""The group of the models that are in no group."""

_VAR = re.compile(r"[a-zA-Z0-9._-]{1,32}")
_ROUTER: Path = ("routing", "router")


def residency(
    file: File, names: Mapping[str, str], problems: Problems
) -> tuple[dict[str, Group], Matrix | None]:
    """The effective groups and no matrix, or no groups and the matrix."""
    groups, matrix, path = _chosen(file, problems)
    checks = _Checks(tuple(file.models), names, problems)
    if matrix is not None:
        return {}, checks.matrix(matrix, path)
    return checks.groups(groups, path), None


def idle_keys(file: File) -> Iterator[tuple[Path, str]]:
    """What is written in these sections and has no effect."""
    settings: Path = (*_ROUTER, "settings")
    places: tuple[tuple[Path, Mapping[str, Group], MatrixSection | None], ...] = (
        ((), file.groups, file.matrix),
        (settings, file.routing.router.settings.groups, file.routing.router.settings.matrix),
    )
    for path, groups, matrix in places:
        if DEFAULT in groups:
            yield (*path, "groups", DEFAULT), "is made of the models in no group; ignored"
        if groups and matrix:
            unused = "groups" if file.routing.router.use != "group" else "matrix"
            yield (*path, unused), "not used: the router is the other one"


def _chosen(
    file: File, problems: Problems
) -> tuple[Mapping[str, Group], MatrixSection | None, Path]:
    router = file.routing.router
    settings = router.settings
    legacy = [key for key in ("groups", "matrix") if getattr(file, key)]
    if file.matrix is not None and "matrix" not in legacy:
        legacy.append("matrix")
    if len(legacy) == 2:
        problems.add(("matrix",), "config cannot use both 'groups' and 'matrix'")
    if legacy and (router.use or settings.groups or settings.matrix is not None):
        problems.add(
            _ROUTER,
            f"stands beside top-level `{legacy[0]}`: migrate that to "
            f"`routing.router.settings.{legacy[0]}`, or leave this out",
        )
    if legacy:
        return file.groups, file.matrix, (legacy[-1],)
    if router.use == "matrix" and settings.matrix is None:
        problems.add((*_ROUTER, "use"), "routing.router.settings.matrix is not set")
    use = router.use or ("matrix" if settings.matrix is not None else "group")
    matrix = settings.matrix if use == "matrix" else None
    return settings.groups, matrix, (*_ROUTER, "settings", "matrix" if matrix else "groups")


@dataclass(frozen=True, slots=True)
class _Checks:
    """The sections, against the models that there are."""

    models: tuple[str, ...]
    names: Mapping[str, str]
    """Every id and alias → the real id."""
    problems: Problems

    def groups(self, groups: Mapping[str, Group], path: Path) -> dict[str, Group]:
        member_of: dict[str, str] = {}
        own = {name: group for name, group in groups.items() if name != DEFAULT}
        for name in sorted(own):
            self._together(own[name], (*path, name))
            for index, member in enumerate(own[name].members):
                at: Path = (*path, name, "members", index)
                if self.names.get(member, member) != member:
                    self.problems.slight(at, _alias(member, self.names))
                elif wrong := self._wrong_member(member, name, member_of):
                    self.problems.add(at, wrong)
                else:
                    member_of[member] = name
        rest = tuple(model for model in self.models if model not in member_of)
        return _but_aliases(own, self.names) | ({DEFAULT: Group(members=rest)} if rest else {})

    def _together(self, group: Group, path: Path) -> None:
        if group.swap and group.load_together:
            key = "swap" if "swap" in group.model_fields_set else "loadTogether"
            message = "members cannot both replace each other and load together: `loadTogether` "
            self.problems.add((*path, key), message + "needs `swap: false`")

    def _wrong_member(self, member: str, group: str, member_of: Mapping[str, str]) -> str:
        if member not in self.names:
            return f'no model config for "{member}"{did_you_mean(member, self.names)}'
        other = member_of.get(member)
        if other == group:
            return f"duplicate model member {member} found in group: {group}"
        if other:
            return f"model member {member} is used in multiple groups: {other}, {group}"
        return ""

    def matrix(self, matrix: MatrixSection, path: Path) -> Matrix:
        def wrong(name: str, message: str) -> None:
            self.problems.add((*path, "sets", name), f"{name}: {message}")

        variables = {}
        for short, model in matrix.vars.items():
            if message := self._wrong_var(short, model):
                self.problems.add((*path, "vars", short), message)
            else:
                variables[short] = model
        if not matrix.sets and not self.problems.within((*path, "sets")):
            self.problems.add(path, "a matrix needs at least one set")
        # A var that is wrong was told already; what uses it need not say so again.
        usable = {model: model for model in self.models} | dict(matrix.vars) | variables
        costs = self._costs(matrix.evict_costs, usable, (*path, "evict_costs"))
        given = {model: cost for model, cost in costs.items() if isinstance(cost, int)}
        return Matrix(
            parse_sets(matrix.sets, Vocabulary(usable, self.names), wrong),
            given,
            frozenset(costs) - frozenset(given),
        )

    def _wrong_var(self, short: str, model: str) -> str:
        if not _VAR.fullmatch(short):
            return (
                f"var `{short}` must be only alphanumeric, '-' or '.' (or '_') and 1-32 characters"
            )
        if model in self.models:
            return ""
        hint = did_you_mean(model, self.models)
        if model in self.names:
            hint = f": it is an alias; name the model itself: `{self.names[model]}`"
        return f"var `{short}` references unknown model `{model}`{hint}"

    def _costs(
        self, costs: object, models: Mapping[str, str], path: Path
    ) -> dict[str, int | Literal["auto"]]:
        if costs == "auto":
            return dict.fromkeys(self.models, "auto")
        if not isinstance(costs, Mapping):
            self.problems.add(path, "must be a mapping of vars or model ids to costs, or `auto`")
            return {}
        real: dict[str, int | Literal["auto"]] = {}
        for name, cost in costs.items():
            if name not in models:
                message = f"unknown var or model `{name}`{did_you_mean(name, models)}"
                self.problems.add((*path, name), message)
            elif isinstance(cost, int) and not isinstance(cost, bool) and cost >= 1:
                real[models[name]] = cost
            elif cost == "auto":
                real.setdefault(models[name], "auto")  # a number by another name wins
            else:
                message = f"must be a positive integer or `auto`, not `{cost}`"
                self.problems.add((*path, name), message)
        return real


def _alias(name: str, names: Mapping[str, str]) -> str:
    return f"`{name}` is an alias; name the model itself: `{names[name]}`"


def _but_aliases(groups: Mapping[str, Group], names: Mapping[str, str]) -> dict[str, Group]:
    """The groups with models only: to llama-swap an alias there is a process that nobody reaches."""
    return {
        name: group.model_copy(
            update={"members": tuple(m for m in group.members if names.get(m, m) == m)}
        )
        for name, group in groups.items()
    }

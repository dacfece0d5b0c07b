"""`routers`, and the models that are loaded through one, settled.

1. A router is found at its `url`, or started by its `cmd`: exactly one of them is written.
2. Its ports come after the models', in sorted order of the names: a router takes no model's number away.
3. Two models never share one of a router's: loading one would be loading the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corral.config.address import wrong_address
from corral.config.command import words
from corral.config.document import Path, Problems
from corral.config.macros import uses
from corral.config.model import Model
from corral.config.nearest import did_you_mean
from corral.config.router_command import router_address
from corral.config.routers import Router
from corral.config.written import File

_ONLY_STARTED = ("presets", "models_dir", "models_max", "env", "start_timeout", "unload_timeout")


def routers(
    file: File, problems: Problems, start_timeout: float, unload_timeout: float
) -> dict[str, Router]:
    """As they are in effect; the time-outs given are those of a router that has none of its own."""
    for name, row in file.routers.items():
        _router(name, row, ("routers", name), problems)
    return {
        name: row.model_copy(
            update={
                "start_timeout": _own(row, "start_timeout") or start_timeout,
                "unload_timeout": _own(row, "unload_timeout") or unload_timeout,
            }
        )
        for name, row in file.routers.items()
    }


def router_ports(file: File, taken: Mapping[str, int]) -> dict[str, int]:
    """The number that each router with `${PORT}` in its command takes first; `taken` are the models'."""
    takers = [name for name in sorted(file.routers) if uses(file.routers[name].cmd, "PORT")]
    first = max(taken.values(), default=file.start_port - 1) + 1
    return {name: first + index for index, name in enumerate(takers)}


def routed(model: str, row: Model) -> dict[str, Any]:
    """What a model of a router has in effect: its id there, and that id in the requests."""
    if not row.router:
        return {}
    there = row.router_model or model
    return {"router_model": there, "use_model_name": row.use_model_name or there}


def routed_twice(file: File, problems: Problems) -> None:
    """Notes models without a router that there is, and those that share one of its models."""
    owners: dict[tuple[str, str], str] = {}
    for model, row in file.models.items():
        path: Path = ("models", model)
        if row.router_model and not row.router:
            problems.add((*path, "routerModel"), "needs a `router` beside it")
        if not row.router:
            continue
        if row.router not in file.routers:
            hint = did_you_mean(row.router, file.routers)
            problems.add((*path, "router"), f"unknown router `{row.router}`{hint}")
        there = row.router_model or model
        first = owners.setdefault((row.router, there), model)
        if first != model:
            where = (*path, "routerModel") if row.router_model else (*path, "router")
            message = f"`{there}` of router `{row.router}` is model `{first}` already; an alias gives one model two names"
            problems.add(where, message)


def _router(name: str, row: Router, path: Path, problems: Problems) -> None:
    if not name.strip():
        problems.add(path, "a router's name cannot be empty")
    argv = words(row.cmd)
    if bool(row.url) == bool(argv and argv[0]):
        problems.add(
            (*path, "url") if row.url else path,
            "has a `url` and a `cmd`: it runs already, or corral starts it"
            if row.url
            else "says neither where it runs (`url`) nor how it is started (`cmd`)",
        )
    elif row.url:
        _found(row, path, problems)
    else:
        _started(row, argv, path, problems)


def _found(row: Router, path: Path, problems: Problems) -> None:
    if wrong := wrong_address(row.url):
        problems.add((*path, "url"), wrong)
    for key in _ONLY_STARTED:
        if key in row.model_fields_set:
            message = "is for a router that corral starts: this one runs at its `url`"
            problems.add((*path, Router.model_fields[key].alias or key), message)


def _started(row: Router, argv: tuple[str, ...], path: Path, problems: Problems) -> None:
    where = (*path, "cmd")
    if any("\0" in word for word in argv):
        problems.add(where, "a command cannot hold a NUL character")
    address = router_address(argv)
    if not address:
        problems.add(where, "does not say where the router answers: add `--port ${PORT}`")
    elif wrong := wrong_address(address):
        problems.add(where, f"where the router answers {wrong}")
    for index, line in enumerate(row.env):
        if not line.partition("=")[0] or "=" not in line or "\0" in line:
            problems.add((*path, "env", index), f"must be NAME=value, not `{line}`")
        elif uses(line, "PORT") and not uses(row.cmd, "PORT"):
            problems.add((*path, "env", index), "${PORT} is only available when used in cmd")


def _own(row: Router, key: str) -> float:
    value: float = getattr(row, key) if key in row.model_fields_set else 0
    return value

"""A `File` to a `Config`: names resolved, globals applied, rules between keys checked.

Each function here settles one part and notes what is wrong with it; a problem never stops the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from corral.config import keeping
from corral.config.address import BLANK, wrong_address
from corral.config.command import words
from corral.config.discipline import scheduling
from corral.config.document import Path, Problems
from corral.config.elsewhere import Elsewhere, idle_peer_keys
from corral.config.model import Config, Model
from corral.config.names import all_aliases, named, real_names
from corral.config.observing import SHORTEST_SAMPLE, Performance
from corral.config.relaying import COMFYUI, effective, idle_filters
from corral.config.residency import idle_keys, residency
from corral.config.routed import routed, routed_twice, router_ports, routers
from corral.config.written import File

_UNLOAD_TIMEOUT = 10.0
_HEALTH_CHECK_TIMEOUT = 120.0
_COMFYUI_REQUESTS = 50
_METRICS_MAX = 1000


def settle(file: File, ports: Mapping[str, int], problems: Problems) -> Config:
    """The effective configuration; not to be used when `problems` has any."""
    names = real_names(file.models, problems)
    models = {model: _model(model, row, file, problems) for model, row in file.models.items()}
    groups, matrix = residency(file, names, problems)
    elsewhere = Elsewhere(file, names, problems)
    switching = keeping.switching(file, names, problems)
    _api_keys(file.api_keys, problems)
    routed_twice(file, problems)
    ports_of_routers = router_ports(file, ports)
    _highest_port({**ports, **ports_of_routers}, problems)
    return Config(
        format=file.format or "native",
        models=models,
        groups=groups,
        matrix=matrix,
        scheduling=scheduling(file, names, problems),
        preload=keeping.preloaded(switching.active, _preload(file, names, problems)),
        default_model=elsewhere.default_model(),
        peers=elsewhere.peers(),
        selectors=elsewhere.selectors(groups, matrix),
        profiles=elsewhere.profiles(),
        upstream=file.upstream,
        routers=routers(
            file,
            problems,
            file.health_check_timeout or _HEALTH_CHECK_TIMEOUT,
            file.unload_timeout or _UNLOAD_TIMEOUT,
        ),
        sessions=keeping.sessions(file, problems),
        keeps_responses="sessions" in file.model_fields_set,
        switching=switching,
        listen=keeping.listen(file, problems),
        imports=file.sessions.import_state,
        api_keys=file.api_keys,
        log_level=file.log_level,
        log_to_stdout=file.log_to_stdout,
        log_time_format=file.log_time_format,
        store=_store_path(file, problems),
        ui=file.ui,
        performance=_performance(file.performance, problems),
        capture_buffer=file.capture_buffer * 2**20,
        metrics_max_in_memory=max(file.metrics_max_in_memory, 0) or _METRICS_MAX,
        include_aliases_in_list=file.include_aliases_in_list,
        max_body=file.max_body,
        shutdown_timeout=file.shutdown_timeout,
        ports=dict(ports),
        router_ports=ports_of_routers,
    )


def asides(file: File) -> Iterator[tuple[Path, str]]:
    """What is right, but has no effect."""
    for model, row in file.models.items():
        path: Path = ("models", model)
        for index, alias in enumerate(row.aliases):
            if alias in file.models:
                yield (*path, "aliases", index), f"the model `{alias}` has this name"
        yield from idle_filters(row.filters, (*path, "filters"))
    yield from keeping.idle_settling(file)
    yield from idle_keys(file)
    yield from idle_peer_keys(file)


def _model(model: str, row: Model, file: File, problems: Problems) -> Model:
    path = ("models", model)
    _commands(row, path, problems)
    if wrong := wrong_address(row.proxy):
        problems.add((*path, "proxy"), wrong)
    if BLANK.search(row.check_endpoint.strip()):
        message = f"must be a path without spaces, not {row.check_endpoint!r}"
        problems.add((*path, "checkEndpoint"), message)
    for index, line in enumerate(row.env):
        if not line.partition("=")[0] or "=" not in line or "\0" in line:
            problems.add((*path, "env", index), f"must be NAME=value, not `{line}`")
    written = row.model_fields_set
    ttl = row.ttl if "ttl" in written and row.ttl >= 0 else file.global_ttl
    return row.model_copy(
        update={
            "aliases": all_aliases(model, row),
            "filters": effective(row.filters),
            "send_loading_state": row.send_loading_state
            if "send_loading_state" in written
            else file.send_loading_state,
            "ttl": ttl,
            "concurrency_limit": max(row.concurrency_limit, 0),
            "health_check_timeout": _start_timeout(row, file, path, problems),
            "unload_timeout": (row.unload_timeout if "unload_timeout" in written else 0)
            or file.unload_timeout
            or _UNLOAD_TIMEOUT,
        }
        | routed(model, row)
        | (_for_comfyui(row) if model == COMFYUI else {})
    )


def _for_comfyui(row: Model) -> dict[str, Any]:
    """Its page opens many requests, and a WebSocket that stays."""
    limit = max(row.concurrency_limit, 0)
    return {
        "concurrency_limit": limit and max(limit, _COMFYUI_REQUESTS),
        "compat": row.compat.model_copy(update={"ignore_websockets": True}),
    }


def _commands(row: Model, path: Path, problems: Problems) -> None:
    where = (*path, "cmd") if "cmd" in row.model_fields_set else path
    empty = not words(row.cmd) or not words(row.cmd)[0]
    if empty and not row.router and not problems.within((*path, "cmd")):
        problems.add(where, "empty command: `cmd` says how the model's server is started")
    for key, command in (("cmd", row.cmd), ("cmdStop", row.cmd_stop)):
        if any("\0" in word for word in words(command)):
            problems.add((*path, key), "a command cannot hold a NUL character")


def _start_timeout(row: Model, file: File, path: Path, problems: Problems) -> float:
    own = row.health_check_timeout if "health_check_timeout" in row.model_fields_set else None
    if own is not None and row.start_timeout is not None and own != row.start_timeout:
        problems.add(
            (*path, "startTimeout"), "is another name for healthCheckTimeout, which says otherwise"
        )
    given = own if own is not None else row.start_timeout
    return given or file.health_check_timeout or _HEALTH_CHECK_TIMEOUT


def _store_path(file: File, problems: Problems) -> str | None:
    if "store" in file.model_fields_set and not file.store.path:
        where: Path = ("store", "path") if file.store.path == "" else ("store",)
        if not problems.within(("store",)):
            problems.add(where, "store.path must not be empty")
    return file.store.path


def _performance(written: Performance, problems: Problems) -> Performance:
    every = written.every or SHORTEST_SAMPLE
    if every < SHORTEST_SAMPLE:
        problems.add(("performance", "every"), f"every must be at least {SHORTEST_SAMPLE:g}s")
    return written.model_copy(update={"every": every})


def _preload(file: File, names: Mapping[str, str], problems: Problems) -> tuple[str, ...]:
    path: Path = ("hooks", "on_startup", "preload")
    found = [
        named(name.strip(), names, (*path, index), problems.slight)
        for index, name in enumerate(file.hooks.on_startup.preload)
        if name.strip()
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def _api_keys(keys: Iterable[str], problems: Problems) -> None:
    for index, key in enumerate(keys):
        if not key:
            problems.add(("apiKeys", index), "empty api key found in apiKeys")
        elif " " in key:
            problems.add(("apiKeys", index), f"apiKeys[{index}]: api key cannot contain spaces")


def _highest_port(ports: Mapping[str, int], problems: Problems) -> None:
    if ports and max(ports.values()) > 65535:
        problems.add(("startPort",), f"leaves no room for {len(ports)} ports up to 65535")

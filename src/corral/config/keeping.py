"""`sessions`, `switching` and `listen`, settled: names resolved, rules between keys checked.

1. Without a `sessions` section, the conversations that clients name are kept, and nothing is parked.
2. The model that is active from the start is loaded at start, after those that are preloaded.
3. Memory has settled at an amount (`settleMemory`), or when it has fallen far enough (`settle: auto`): not both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from corral.config.address import parse
from corral.config.conversing import Sessions, Switching
from corral.config.document import Path, Problems
from corral.config.names import named
from corral.config.nearest import did_you_mean
from corral.config.written import File

ACTIVE = "active"
"""The name of whichever model is active, unless the configuration gives that name (or alias) to one."""


def sessions(file: File, problems: Problems) -> Sessions:
    """What is in effect."""
    row, written = file.sessions, "sessions" in file.model_fields_set
    for key, path in (("store", row.store), ("importState", row.import_state)):
        if path == "":
            problems.add(("sessions", key), f"sessions.{key} must not be empty")
    if row.store and row.store == file.store.path:
        message = "is the file of `store.path`: conversations need one of their own"
        problems.add(("sessions", "store"), message)
    for preset in row.presets:
        if not preset.strip():
            problems.add(("sessions", "presets", preset), "a preset's name cannot be empty")
    _models_presets(file, problems)
    return row if written else row.model_copy(update={"park_kv": "off"})


def _models_presets(file: File, problems: Problems) -> None:
    """Notes the models whose preset is none. What is wrong with the presets was told already."""
    known = file.sessions.presets
    for model, row in file.models.items():
        if row.preset and row.preset not in known and not problems.within(("sessions",)):
            message = f"unknown preset `{row.preset}`{did_you_mean(row.preset, known)}"
            problems.add(("models", model, "preset"), message)


def switching(file: File, names: Mapping[str, str], problems: Problems) -> Switching:
    """What is in effect. `names`: every local name → the real id."""
    row = file.switching
    if row.settle == "off" and row.settle_memory is not None:
        message = "says when memory has settled, and `settle: off` that nobody waits for it"
        problems.add(("switching", "settleMemory"), message)
    return row.model_copy(update={"active": _active(file, names, problems)})


def _active(file: File, names: Mapping[str, str], problems: Problems) -> str | None:
    name, path = file.switching.active, ("switching", "active")
    if not name:
        return None
    if name not in names and (elsewhere := _no_model_here(name, file)):
        problems.add(path, f"`{name}` is {elsewhere}: only a model of this machine can be active")
        return None
    return named(name, names, path, problems.add) or None


def _no_model_here(name: str, file: File) -> str:
    if name in file.selectors:
        return "a selector"
    peers = file.peers.items()
    if any(name in (model, f"{peer}/{model}") for peer, row in peers for model in row.models):
        return "a peer's model"
    return ""


def preloaded(active: str | None, preload: tuple[str, ...]) -> tuple[str, ...]:
    """The models to load at start, each once: the active one last, so that no other one takes its room."""
    others = tuple(model for model in preload if model != active)
    return (*others, active) if active else preload


def listen(file: File, problems: Problems) -> str | None:
    """The address as written; None for none."""
    if not file.listen:
        return None
    try:
        parse(file.listen)
    except ValueError as error:
        problems.add(("listen",), str(error))
    return file.listen


def idle_settling(file: File) -> Iterator[tuple[Path, str]]:
    """What is written in `switching` and has no effect."""
    row, written = file.switching, file.switching.model_fields_set
    if row.settle_memory is not None and "settle" in written and row.settle == "auto":
        yield ("switching", "settle"), "not used: settleMemory says when memory has settled"
    if row.settle_timeout == 0 and {"settle_memory", "settle"} & written and row.settle != "off":
        yield ("switching", "settleTimeout"), "nobody waits for memory to settle: it is 0"

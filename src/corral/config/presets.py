"""The routers' preset files, against the models that are loaded through them.

1. A file that cannot be read is a mistake; one that nobody looked for is not, and a note says that it was not checked.
2. A router that has more than its file (a folder of models, or llama-server's own cache, whose ids have a `/`) may know a model that
   the file does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from corral.config.document import Beside, Document, Path, Problems
from corral.config.formats.preset_ini import Presets, Section, read_presets
from corral.config.nearest import did_you_mean
from corral.config.routers import Router
from corral.config.written import File

Note = Callable[[str, int, str], None]
"""Hears of a file, a line, and what is to be said of it."""


def named(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The preset files that a native mapping names, each once."""
    return tuple(dict.fromkeys(_named(data.get("routers"))))


def _named(routers: Any) -> Iterator[str]:
    for row in routers.values() if isinstance(routers, Mapping) else ():
        path = row.get("presets") if isinstance(row, Mapping) else None
        if isinstance(path, str) and path.strip():
            yield path.strip()


def marks(file: File, beside: Beside) -> dict[str, str]:
    """By name of the router, what another text of its presets would have another of."""
    found = {name: beside.get(row.presets) for name, row in file.routers.items()}
    return {
        name: hashlib.sha256(source.text.encode()).hexdigest()
        for name, source in found.items()
        if source
    }


def check(file: File, beside: Beside, problems: Problems, document: Document, note: Note) -> None:
    """Notes what is wrong with the preset files, and with the models that they should have."""
    for name, row in file.routers.items():
        path: Path = ("routers", name, "presets")
        source = beside.get(row.presets)
        if source is None:
            if row.presets:
                at = document.place(path)
                note(
                    at.file, at.line, f"{row.presets} is not at hand: its sections were not checked"
                )
        elif source.unread:
            problems.add(path, f"{row.presets} cannot be read: {source.unread}")
        else:
            _check(name, row, read_presets(source), file, problems, document, note)


def _check(
    router: str,
    row: Router,
    presets: Presets,
    file: File,
    problems: Problems,
    document: Document,
    note: Note,
) -> None:
    for section in presets.models():
        _section(section, presets, row)
    document.problems += presets.problems
    for line, message in presets.notes:
        note(presets.name, line, message)
    if not row.models_dir:
        _models(router, presets, file, problems, note, document)


def _section(section: Section, presets: Presets, row: Router) -> None:
    where = f"[{section.written}]"
    if not (section.names_a_model or presets.common.names_a_model or _elsewhere(section.name, row)):
        message = (
            "names no model: llama-server would start one more router for it, which is never ready;"
            " add `model = FILE`"
        )
        presets.wrong(section.line, where, message)
    if (start := section.says("load-on-startup")) and start.text.lower() in ("true", "1", "on"):
        message = f"{where}.load-on-startup: llama-server loads it when it starts, wanted or not"
        presets.notes.append((start.line, message))
    if (stop := section.says("stop-timeout")) and not stop.text.isdecimal():
        message = f"must be a whole number of seconds, not `{stop.text}`"
        presets.wrong(stop.line, f"{where}.stop-timeout", message)


def _elsewhere(model: str, row: Router) -> bool:
    """Whether the router may know such a model without its presets."""
    return bool(row.models_dir) or "/" in model


def _models(
    router: str,
    presets: Presets,
    file: File,
    problems: Problems,
    note: Note,
    document: Document,
) -> None:
    for model, row in file.models.items():
        there = row.router_model or model
        if row.router != router or presets.found(there):
            continue
        path: Path = ("models", model, "routerModel") if row.router_model else ("models", model)
        if "/" in there:
            at = document.place(path)
            note(
                at.file,
                at.line,
                f"`{there}` is no section of {presets.name}: it must be in llama-server's cache",
            )
            continue
        known = [section.name for section in presets.models()]
        hint = did_you_mean(there, known)
        problems.add(path, f"`{there}` is no section of {presets.name}{hint}")

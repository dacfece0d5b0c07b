"""Texts and environment in; a valid `Config`, or every problem at once, out.

The stages: environment, parse, merge, recognise and translate, unknown keys, macros, shape, settle. A text
that cannot be parsed or merged ends it there; from then on every stage runs, and a later one is
silent about a value that an earlier one has complained of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.config.document import Document, Path, Problems, Source, dotted
from corral.config.environment import substitute
from corral.config.formats import guide
from corral.config.formats.recognise import AmbiguousError, recognise
from corral.config.macros import expand
from corral.config.merge import merge
from corral.config.model import Config, Format
from corral.config.redaction import hider, redacted
from corral.config.settle import asides, settle
from corral.config.shape import drop_ignored, drop_later, drop_unknown, shape
from corral.config.toml_text import read_toml, strings
from corral.config.yaml_text import read_yaml, scalars
from corral.errors import ConfigError, Problem

__all__ = ["Source", "load", "read"]


def load(sources: Sequence[Source], env: Mapping[str, str], *, lenient: bool = False) -> Config:
    """The configuration that `sources` make together, in the order given.

    Raises ConfigError with every problem. `lenient` turns those that llama-swap reads past (unknown
    keys, log levels, models to preload) into notes. A source whose name ends in `.toml` is TOML,
    everything else YAML. No message shows a value of the environment.
    """
    hide = hider((source.text for source in sources), env)
    try:
        config = _load(sources, env, lenient=lenient)
    except ConfigError as error:
        raise redacted(error, hide) from None
    return config.model_copy(update={"notes": tuple(map(hide, config.notes))})


def _load(sources: Sequence[Source], env: Mapping[str, str], *, lenient: bool) -> Config:
    document = read(sources, env)
    notes = _Notes(document)
    problems = Problems(document, notes.ignored if lenient else None)
    data = drop_ignored(document)
    data["format"] = _native(data, document, problems, notes)
    data = drop_unknown(data, problems.slight)
    problems.settle()
    data, ports = expand(data, problems)
    problems.settle()
    file = shape(drop_later(data, notes.add), problems)
    if problems.at(("models",)):
        # Every name in the rest would be an unknown one.
        problems.raise_any()
    problems.settle()
    config = settle(file, ports, problems)
    problems.raise_any()
    for path, message in asides(file):
        notes.add(path, message)
    return config.model_copy(update={"notes": notes.lines()})


def read(sources: Sequence[Source], env: Mapping[str, str]) -> Document:
    """The sources, parsed and merged, not yet understood. Raises ConfigError."""
    if not sources:
        raise ConfigError([Problem("", 0, 0, "", "no configuration sources found")])
    documents: list[Document] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            documents.append(_read_one(source, env))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError([*problems, *(p for one in documents for p in one.problems)])
    return merge(documents)


def _read_one(source: Source, env: Mapping[str, str]) -> Document:
    toml = source.name.endswith(".toml")
    replaced, problems = substitute(source, env, strings if toml else scalars)
    try:
        document = read_toml(replaced) if toml else read_yaml(replaced)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    document.problems = problems
    return document


def _native(
    data: dict[str, Any], document: Document, problems: Problems, notes: _Notes
) -> Format | None:
    """Changes `data` to the native keys; what the file is."""
    try:
        kind, reason = recognise(data, toml=document.place(()).file.endswith(".toml"))
    except AmbiguousError as error:
        problems.add(error.path, str(error))
        guide.to_native(data)
        return "native"
    if kind == "hotmodel":
        name = document.place(()).file
        message = f"a hotmodel configuration ({reason}); these are not supported yet"
        raise ConfigError([Problem(name, 0, 0, "", message)])
    if kind == "guide":
        said = guide.to_native(data)
        for native, written in guide.RENAMED.items():
            if written in document.places:
                document.places.setdefault(native, document.places[written])
        notes.say(f"the model-management guide's format, recognised by {reason}")
        for line in said:
            notes.say(line)
    return kind if data.get("format") in (None, kind) else data["format"]


class _Notes:
    """What people are told at start, in the order of the file."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._first: list[str] = []
        self._placed: dict[tuple[str, int, int, str], None] = {}

    def say(self, line: str) -> None:
        """Something about the whole configuration."""
        self._first.append(f"{self._document.place(()).file}: {line}")

    def add(self, path: Path, message: str) -> None:
        """Something about one place."""
        at = self._document.place(path)
        self._placed[(at.file, at.line, at.column, f"{dotted(path)}: {message}")] = None

    def ignored(self, path: Path, message: str) -> None:
        """Something at one place that has no effect."""
        self.add(path, f"{message} (ignored)")

    def lines(self) -> tuple[str, ...]:
        """All of it."""
        placed = [f"{file}:{line} {text}" for file, line, _, text in sorted(self._placed)]
        return (*self._first, *placed)

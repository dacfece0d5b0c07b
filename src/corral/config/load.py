"""Texts and environment in; a valid `Config`, or every problem at once, out.

The stages: environment, parse, merge, recognise and translate, unknown keys, macros, shape, settle. A text
that cannot be parsed or merged ends it there; from then on every stage runs, and a later one is
silent about a value that an earlier one has complained of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from corral.config import presets
from corral.config.document import Beside, Document, Problems, Source
from corral.config.environment import substitute
from corral.config.formats import translation
from corral.config.macros import expand
from corral.config.merge import merge
from corral.config.model import Config
from corral.config.notes import Notes
from corral.config.redaction import hider, redacted
from corral.config.settle import asides, settle
from corral.config.shape import drop_unknown, shape
from corral.config.toml_text import read_toml, strings
from corral.config.written import File
from corral.config.yaml_text import read_yaml, scalars
from corral.errors import ConfigError, Problem

__all__ = ["Source", "further", "load", "read"]

_NOTHING: Beside = MappingProxyType({})


def load(
    sources: Sequence[Source],
    env: Mapping[str, str],
    *,
    lenient: bool = False,
    beside: Beside = _NOTHING,
) -> Config:
    """The configuration that `sources` make together, in the order given.

    Raises ConfigError with every problem. `lenient` turns those that llama-swap reads past (unknown
    keys, log levels, models to preload) into notes. A source whose name ends in `.toml` is TOML,
    everything else YAML. `beside` are the files that `further` names; what depends on one that is not
    there is not checked, and a note says so. No message shows a value of the environment.
    """
    hide = hider((source.text for source in sources), env)
    try:
        config = _load(sources, env, beside, lenient=lenient)
    except ConfigError as error:
        raise redacted(error, hide) from None
    return config.model_copy(update={"notes": tuple(map(hide, config.notes))})


def _load(
    sources: Sequence[Source], env: Mapping[str, str], beside: Beside, *, lenient: bool
) -> Config:
    document = read(sources, env)
    notes = Notes(document)
    problems = Problems(document, notes.ignored if lenient else None)
    data = translation.to_native(document, problems, notes, beside)
    data = drop_unknown(data, problems.slight, File)
    problems.settle()
    data, ports = expand(data, problems)
    problems.settle()
    file = shape(data, problems, File)
    if problems.at(("models",)):
        # Every name in the rest would be an unknown one.
        problems.raise_any()
    problems.settle()
    presets.check(file, beside, problems, document, notes.at)
    config = settle(file, ports, problems)
    problems.raise_any()
    for path, message in asides(file):
        notes.add(path, message)
    marks = presets.marks(file, beside)
    return config.model_copy(update={"notes": notes.lines(), "preset_marks": marks})


def further(sources: Sequence[Source], env: Mapping[str, str]) -> tuple[str, ...]:
    """The files that `sources` name and that belong to them, for `load`. None where `sources` cannot be read: `load` tells why."""
    try:
        return translation.further(read(sources, env))
    except ConfigError:
        return ()


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

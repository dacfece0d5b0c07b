"""`corral check`, `convert` and `schema`: configurations as text, without a server."""

from __future__ import annotations

import json
import os
from pathlib import Path

from corral.cli import address, serving, sources
from corral.cli.exits import answer
from corral.config import convert as converting
from corral.config.schema import json_schema


def check(file: Path, *, lenient: bool) -> None:
    """Say that the file is good, and what was made of it. Failure with every problem when it is not."""
    config = serving.understand([sources.read(file)], lenient=lenient)
    answer(f"{file}: ok, {serving.summary(config)}")
    for note in config.notes:
        answer(note)


def convert(file: Path) -> None:
    """Print the native file. Failure with every problem when the file is not good."""
    with serving.mistakes_told():
        source = sources.read(file)
        answer(converting.convert(source, os.environ, sources.beside([source])))


def served_at(file: Path) -> str:
    """The URL at which a corral that serves `file` answers, unless its command line says otherwise. Failure when the file is not good."""
    config = serving.understand([sources.read(file)])
    return address.url(address.parse(config.listen or address.DEFAULT))


def schema() -> None:
    """Print the JSON Schema of a configuration."""
    answer(json.dumps(json_schema(), indent=2))

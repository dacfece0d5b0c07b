"""Which configuration texts a command line names, in the order in which they are merged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from corral.cli import models_dir
from corral.cli.exits import Exit, Failure
from corral.config.document import Beside, Source
from corral.config.load import further

YAML = (".yml", ".yaml")


def read(path: Path) -> Source:
    """The text of a configuration file. Failure (exit 2) when it cannot be read."""
    try:
        return Source(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", Exit.MISUSED) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: not UTF-8 text (byte {error.start})", Exit.MISUSED) from error


def beside(texts: Sequence[Source]) -> Beside:
    """The files that these texts name and that belong to them; whether one can be read is for `load` to judge."""
    return {name: _read_or_not(name) for name in further(texts, os.environ)}


def _read_or_not(name: str) -> Source:
    try:
        return read(Path(name))
    except Failure as failure:
        return Source(name, "", unread=failure.message.removeprefix(f"{Path(name)}: "))


def files(configs: Sequence[Path], directory: Path | None) -> list[Path]:
    """The named files, then the YAML files at the top of `directory` by name. Failure (exit 2) for one that is in both."""
    inside = [] if directory is None else _yaml_files(directory)
    for path in configs:
        if path.absolute() in (other.absolute() for other in inside):
            raise Failure(
                f"{path} is also present in {directory}; remove it from one", Exit.MISUSED
            )
    return [*configs, *inside]


def models(directory: Path) -> Source:
    """The configuration that a folder of GGUF files stands for. Failure (exit 2) when there are none."""
    top = _listed(directory.absolute())
    found = [path for path in top if path.is_file()]
    for folder in filter(Path.is_dir, top):
        found += [path for path in _listed(folder) if path.is_file()]
    if not any(path.suffix.lower() == models_dir.SUFFIX for path in found):
        raise Failure(f"{directory}: no *{models_dir.SUFFIX} files in it", Exit.MISUSED)
    try:
        return Source(f"--models-dir {directory}", models_dir.configuration(found))
    except ValueError as error:
        raise Failure(str(error), Exit.MISUSED) from error


def _yaml_files(directory: Path) -> list[Path]:
    return [path for path in _listed(directory) if path.suffix in YAML and path.is_file()]


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror or error}", Exit.MISUSED) from error

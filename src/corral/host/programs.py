"""Is what a command needs on this machine? Asked before anybody is stopped to make room for it.

1. A program is looked up in corral's own PATH, not in the model's.
2. The shipped engine stands in for a `llama-server` that is not there, when the `llama` extra is installed; everybody who looks is told. (So it is
   found under its own name, `corral-llama-server`, when the scripts of corral's environment are not on the PATH.)
3. What is missing is named together with what to do about it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

from corral.config.command import LaunchSpec, is_llama_server
from corral.errors import LoadFailed

_ENGINE = "corral.engines.llama"
WHEEL = "xllamacpp"


@dataclass(frozen=True, slots=True)
class Program:
    """What will really be launched: a path that exists and its arguments."""

    argv: tuple[str, ...]
    shipped: bool = False
    """The shipped engine stands in for a `llama-server` that is not there."""


def find_program(spec: LaunchSpec) -> Program:
    """Raises LoadFailed when there is no such program."""
    if not spec.argv:
        raise LoadFailed(f"{spec.model}: the command is empty; set `cmd`")
    name = spec.argv[0]
    if found := shutil.which(name):
        return Program((found, *spec.argv[1:]))
    if not is_llama_server(name):
        raise LoadFailed(f"{spec.model}: {_absence(name)}; install it, or correct `cmd`")
    if not has_shipped_engine():
        raise LoadFailed(
            f"{spec.model}: {_absence(name)}; install llama.cpp, or `pip install 'corral[llama]'` for the shipped engine"
        )
    # -P: a file in the working folder must not shadow a module.
    return Program((sys.executable, "-P", "-m", _ENGINE, *spec.argv[1:]), shipped=True)


def problem_of(spec: LaunchSpec) -> LoadFailed | None:
    """Why this model could not be launched now: its program or one of its files is missing."""
    try:
        find_program(spec)
    except LoadFailed as problem:
        return problem
    for name in spec.files:
        if trouble := _trouble_with(Path(name)):
            return LoadFailed(f"{spec.model}: {trouble}; correct `cmd`, or put the file there")
    return None


def stands_in(spec: LaunchSpec) -> bool:
    """Whether the shipped engine would run this model."""
    try:
        return find_program(spec).shipped
    except LoadFailed:
        return False


def has_shipped_engine() -> bool:
    """Whether the `llama` extra is installed (it is not imported)."""
    return importlib.util.find_spec(WHEEL) is not None


def _absence(name: str) -> str:
    if PurePath(name).name == name:
        return f"there is no program {name!r} on the PATH"
    if os.path.exists(name):  # noqa: PTH110 (which is False, not an error, in a closed folder)
        return f"{name!r} is not an executable program"
    return f"there is no program {name!r}"


def _trouble_with(file: Path) -> str | None:
    """Trying says more than asking: permissions are not all there is to reading."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return f"{str(file)!r} is not a file"
        file.open("rb").close()
    except FileNotFoundError:
        return f"there is no file {str(file)!r}"
    except OSError as error:
        return f"the file {str(file)!r} cannot be read ({error.strerror})"
    return None

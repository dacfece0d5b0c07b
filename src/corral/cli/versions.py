"""Which programs are installed, in which version."""

from __future__ import annotations

import json
import platform
from importlib import metadata

from corral.cli.exits import answer


def corral() -> str:
    """Corral's own version."""
    return metadata.version("corral")


def engine() -> str | None:
    """The version of the wheel that brings llama.cpp; None when it is not installed."""
    try:
        return metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        return None


def show(*, as_json: bool) -> None:
    """Print them."""
    found = {"corral": corral(), "python": platform.python_version(), "llama.cpp": engine()}
    if as_json:
        answer(json.dumps(found))
        return
    missing = "not installed (pip install 'corral[llama]')"
    wheel = f"xllamacpp {found['llama.cpp']}" if found["llama.cpp"] else missing
    answer(f"corral {found['corral']}\npython {found['python']}\nllama.cpp engine: {wheel}")

"""A folder of GGUF files becomes a configuration.

1. A model is a `*.gguf` in the folder or in one of its direct subfolders, named by its stem.
2. A model in shards (`-00001-of-00003`) is one model: its first shard is given to the engine, which finds the others.
3. `mmproj*` is no model but the projector of models beside it: of the only one there; else of those whose name it carries
   (`mmproj-gemma-3-4b-f16` belongs to `gemma-3-4b-Q4_K_M`); one that carries no name belongs to all of them.
4. Two models with the same stem are told apart by their folder: `folder/stem`.

The models get no group and no matrix, so one runs at a time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

SUFFIX = ".gguf"
SHARD = re.compile(r"-(\d{5})-of-\d{5}$")
QUANT = re.compile(r"(^|[-_.])(b?f16|f32|i?q\d\w*|mxfp4\w*)$", re.IGNORECASE)
"""The end of a file name that says how the weights are stored."""


def configuration(files: Iterable[PurePath]) -> str:
    """Native configuration text (JSON, which is YAML too) for the paths that a listing of the folder found, in any order.

    Raises ValueError, naming the file, for a path that is no text or would be read as a macro.
    """
    found = sorted(path for path in files if _is_weights(path))
    projectors = [path for path in found if _is_projector(path)]
    weights = [path for path in found if not _is_projector(path)]
    models = {
        name: _model(path, _projector(path, weights, projectors)) for name, path in _named(weights)
    }
    return json.dumps({"models": models}, indent=2, ensure_ascii=False)


def _is_weights(path: PurePath) -> bool:
    """Not hidden (macOS leaves `._name` files), and not a later shard."""
    shard = SHARD.search(path.stem)
    is_first = shard is None or int(shard[1]) == 1
    return path.suffix.lower() == SUFFIX and not path.name.startswith(".") and is_first


def _is_projector(path: PurePath) -> bool:
    return path.name.lower().startswith("mmproj")


def _stem(path: PurePath) -> str:
    return SHARD.sub("", path.stem)


def _named(weights: Sequence[PurePath]) -> list[tuple[str, PurePath]]:
    times = Counter(map(_stem, weights))
    return [
        (_stem(path) if times[_stem(path)] == 1 else f"{path.parent.name}/{_stem(path)}", path)
        for path in weights
    ]


def _projector(
    model: PurePath, weights: Sequence[PurePath], projectors: Sequence[PurePath]
) -> PurePath | None:
    alone = [path.parent for path in weights].count(model.parent) == 1
    beside = (path for path in projectors if path.parent == model.parent)
    return next((path for path in beside if alone or _belongs(path, model)), None)


def _belongs(projector: PurePath, model: PurePath) -> bool:
    carried = QUANT.sub("", _stem(projector)[len("mmproj") :].strip("-_."))
    return _stem(model).lower().startswith(carried.lower())


def _model(path: PurePath, projector: PurePath | None) -> dict[str, Any]:
    cmd = ["llama-server", "-m", _argument(path)]
    if projector is not None:
        cmd += ["--mmproj", _argument(projector)]
    cmd += ["--host", "127.0.0.1", "--port", "${PORT}"]
    return {"cmd": cmd, "proxy": "http://127.0.0.1:${PORT}"}


def _argument(path: PurePath) -> str:
    text = str(path)
    if not text.isprintable():
        raise ValueError(f"{text!r}: a path that is not printable text; rename it")
    if "${" in text:
        raise ValueError(f"{text}: a path with '${{' would be read as a macro; rename it")
    return text

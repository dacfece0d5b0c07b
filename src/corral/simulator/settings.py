"""One configuration with some keys changed, so that settings can be compared.

A change is `KEY=VALUE`. The key is a whole path (`models.qwen.parallel=2`), or one of the scheduler's own (`use=fifo`, `maxWait=10`),
which is meant for the discipline that is then in use. `fair` and `fifo` alone are `use=fair` and `use=fifo`. Whether key and value are
good is for the configuration to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from corral.config.document import Document, Source, as_text
from corral.config.yaml_text import scalar

DISCIPLINES = ("fair", "fifo")
_SCHEDULER = ("routing", "scheduler")


def changed(document: Document, changes: Sequence[str]) -> Source:
    """The text of `document` with `changes` made in this order. Raises ValueError for one that is no `KEY=VALUE`."""
    data = document.data
    for change in sorted(map(_spelled_out, changes), key=_is_key_of_discipline):
        key, value = change
        data = _with(data, _path(data, key), scalar(value))
    return Source(f"{document.place(()).file} (with {', '.join(changes)})", _text(data))


def _spelled_out(change: str) -> tuple[str, str]:
    if change.strip() in DISCIPLINES:
        return "use", change.strip()
    key, equals, value = change.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise ValueError(f"`{change}` is not KEY=VALUE, {' or '.join(DISCIPLINES)}")
    return key.strip(), value.strip()


def _is_key_of_discipline(change: tuple[str, str]) -> bool:
    """Those come last: they are meant for the discipline that the others choose."""
    return "." not in change[0] and change[0] != "use"


def _path(data: Mapping[str, Any], key: str) -> Sequence[str]:
    if "." in key:
        return key.split(".")
    if key == "use":
        return (*_SCHEDULER, key)
    return (*_SCHEDULER, "settings", _discipline(data), key)


def _discipline(data: Any) -> str:
    for step in (*_SCHEDULER, "use"):
        data = data.get(step) if isinstance(data, Mapping) else None
    return data if isinstance(data, str) else DISCIPLINES[0]


def _with(data: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    """`data` with `value` at `path`. A model's id may have dots: the longest key there is wins."""
    step, *rest = path
    known = data if isinstance(data, Mapping) else {}
    for length in range(len(path) - 1, 1, -1):
        if (long := ".".join(path[:length])) in known:
            step, rest = long, list(path[length:])
            break
    return {**known, step: _with(known.get(step), rest, value) if rest else value}


def _text(value: Any) -> str:
    """YAML on one line, every number spelled as it was."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else str(as_text(value))

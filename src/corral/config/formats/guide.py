"""The model-management guide's YAML, changed in place to the native mapping.

1. `{PORT}` is `${PORT}` in `cmd`, `cmdStop`, `proxy` and `checkEndpoint`.
2. `modelTTL` is `globalTTL`; `ttl: 0` means never, as natively.
3. A group's members load together and run side by side: `swap: true` (the default) stops everything
   outside the group, `swap: false` nothing. Other keys of a group keep their native meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from corral.config.document import Path
from corral.config.formats.recognise import BARE_PORT, MACRO_FIELDS

RENAMED: dict[Path, Path] = {("globalTTL",): ("modelTTL",)}
"""Native path → where it is written."""


def to_native(data: MutableMapping[str, Any]) -> list[str]:
    """Changes `data`, and tells what was made of it, one line per rule that found something.

    A `modelTTL` beside a `globalTTL` is left for the schema to refuse.
    """
    return [said for rule in (_ports, _ttl, _groups) for said in rule(data)]


def _ports(data: MutableMapping[str, Any]) -> Iterator[str]:
    changed = 0
    for model in _mappings(data.get("models")):
        for key in MACRO_FIELDS:
            value = model.get(key)
            if isinstance(value, list):
                changed += any(_is_bare(item) for item in value)
                value[:] = [_with_dollar(item) for item in value]
            elif _is_bare(value):
                changed += 1
                model[key] = _with_dollar(value)
    if changed:
        yield f"{{PORT}} is read as ${{PORT}} in {changed} value{'s' if changed > 1 else ''}"


def _is_bare(value: Any) -> bool:
    return isinstance(value, str) and bool(BARE_PORT.search(value))


def _with_dollar(value: Any) -> Any:
    # The class is kept: it is how a round trip knows a block of lines from a line.
    return type(value)(BARE_PORT.sub("${PORT}", value)) if _is_bare(value) else value


def _ttl(data: MutableMapping[str, Any]) -> Iterator[str]:
    if "modelTTL" in data and "globalTTL" not in data:
        seconds = data["modelTTL"]
        _rename(data, "modelTTL", "globalTTL")
        yield f"modelTTL is globalTTL: {seconds} s"


def _rename(data: MutableMapping[str, Any], old: str, new: str) -> None:
    items = [(new if key == old else key, value) for key, value in data.items()]
    for key in list(data):
        del data[key]
    data.update(items)
    comments = getattr(getattr(data, "ca", None), "items", {})
    if old in comments:
        comments[new] = comments.pop(old)


def _groups(data: MutableMapping[str, Any]) -> Iterator[str]:
    groups = data.get("groups")
    for name, group in groups.items() if isinstance(groups, MutableMapping) else ():
        if not isinstance(group, MutableMapping) or not isinstance(group.get("swap", True), bool):
            continue
        stops = group.get("swap", True)
        group["swap"] = False
        group.setdefault("exclusive", stops)
        group.setdefault("loadTogether", True)
        others = "everything else stops" if group["exclusive"] else "nothing else stops for them"
        yield f"group {name}: its members load together and run side by side; {others}"


def _mappings(value: Any) -> Iterator[MutableMapping[str, Any]]:
    for item in value.values() if isinstance(value, MutableMapping) else ():
        if isinstance(item, MutableMapping):
            yield item

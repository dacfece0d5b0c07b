"""What kind of file this is, by marks that the other kinds do not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from corral.config.document import Path
from corral.config.model import Format

MACRO_FIELDS = ("cmd", "cmdStop", "proxy", "checkEndpoint")
BARE_PORT = re.compile(r"(?<!\$)\{PORT\}")


class AmbiguousError(ValueError):
    """The marks of two formats, and no `format` key. `path` is where the second kind stands."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def recognise(data: Mapping[str, Any], *, toml: bool = False) -> tuple[Format, str]:
    """The format, and the reason for people. Raises AmbiguousError. A `format` that names none is left
    to the schema to complain about."""
    written = data.get("format")
    if written in ("native", "guide", "hotmodel"):
        return written, f"`format: {written}`"
    if toml and (reason := _hotmodel(data)):
        return "hotmodel", reason
    return _guide_or_native(data)


def _guide_or_native(data: Mapping[str, Any]) -> tuple[Format, str]:
    bare = [path for path, text in texts(data) if BARE_PORT.search(text)]
    dollar = [path for path, text in texts(data) if "${PORT}" in text]
    if bare and dollar:
        raise AmbiguousError(
            max(bare[0], dollar[0], key=str),
            "both `{PORT}` and `${PORT}` are used in this file: write `format: native` at its top "
            "if `{PORT}` is meant literally, `format: guide` if both are the port",
        )
    if bare:
        return "guide", "`{PORT}` without a dollar"
    if "modelTTL" in data:
        return "guide", "`modelTTL`"
    return "native", ""


def texts(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The values of every model that may hold a port, and where they are."""
    models = data.get("models")
    for name, model in models.items() if isinstance(models, Mapping) else ():
        for key in MACRO_FIELDS if isinstance(model, Mapping) else ():
            value = model.get(key)
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(item, str):
                    path = ("models", name, key)
                    yield (*path, index) if isinstance(value, list) else path, item


def _hotmodel(data: Mapping[str, Any]) -> str:
    for table in ("llama", "router"):
        if isinstance(data.get(table), Mapping):
            return f"`[{table}]`"
    models = data.get("models")
    for name, model in models.items() if isinstance(models, Mapping) else ():
        if isinstance(model, Mapping) and "path" in model:
            return f"`models.{name}.path`"
    return ""

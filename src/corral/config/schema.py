"""The schema as rows, and as JSON Schema.

A row is one key: where it may be written, its kind, its default, its help. Everything that tells
people about keys is made of rows, so that nothing can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from corral.config.written import File


@dataclass(frozen=True, slots=True)
class Row:
    """One key. `path` has `*` where a name of the user's choice stands; `default` and `example` are
    plain data, `default` None for none (a section, or nothing); `section` when keys follow below."""

    path: tuple[str, ...]
    kind: str
    default: Any
    help: str
    example: Any = None
    section: bool = False

    def __str__(self) -> str:
        return ".".join(self.path)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a native file."""
    schema = File.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "corral configuration"
    schema["patternProperties"] = {r"^(x-|\.)": {}}
    return schema


def rows() -> Iterator[Row]:
    """Every key, in the order of the schema, each section before what is in it."""
    schema = json_schema()
    yield from _rows(schema, schema, ())


def _rows(schema: dict[str, Any], section: dict[str, Any], path: tuple[str, ...]) -> Iterator[Row]:
    for key, value in section.get("properties", {}).items():
        inside, here = _section(schema, value, (*path, key))
        default = value.get("default")
        yield Row(
            path=(*path, key),
            kind=_kind(schema, value),
            default=None if inside else to_jsonable_python(default),
            help=value.get("description", ""),
            example=next(iter(value.get("examples", ())), None),
            section=bool(inside),
        )
        if inside:
            yield from _rows(schema, inside, here)


def _resolved(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    for choice in value.get("anyOf", ()):
        if "$ref" in choice:
            return _resolved(schema, choice)
    if "$ref" in value:
        target: dict[str, Any] = schema["$defs"][value["$ref"].rsplit("/", 1)[-1]]
        return target
    return value


def _section(
    schema: dict[str, Any], value: dict[str, Any], path: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The section that a key holds and the path of its keys; an empty one when it holds none."""
    found = _resolved(schema, value)
    if "properties" in found:
        return found, path
    entries = found.get("additionalProperties")
    if isinstance(entries, dict) and "properties" in _resolved(schema, entries):
        return _resolved(schema, entries), (*path, "*")
    return {}, path


_KINDS = {
    "array": "list",
    "boolean": "flag",
    "integer": "whole number",
    "number": "number",
    "object": "mapping",
    "string": "text",
}


def _kind(schema: dict[str, Any], value: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"] if choice)
    if "const" in value:
        return f"`{value['const']}`"
    if choices := [one for one in value.get("anyOf", ()) if one.get("type") != "null"]:
        return " or ".join(dict.fromkeys(_kind(schema, choice) for choice in choices))
    if "$ref" in value:
        return _kind(schema, _resolved(schema, value))
    types = value.get("type", "any")
    names = types if isinstance(types, list) else [types]
    return " or ".join(_KINDS.get(str(name), str(name)) for name in names)

"""TOML text to a `Document`, with the same keys as YAML. The place of a value is that of its key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from corral.config.document import Document, Path, Place, Source
from corral.errors import ConfigError, Problem

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_PART = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS = re.compile(_PART)
_INSIDE = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'', re.DOTALL)


def read_toml(source: Source) -> Document:
    """Raises ConfigError."""
    data = _parse(source)
    places: dict[Path, Place] = {(): Place(source.name, 1, 1)}
    for path, place in _places(source):
        places.setdefault(path, place)
    return Document(data, places)


def strings(source: Source) -> Iterator[str]:
    """Every key and text value. Raises ConfigError."""
    return _strings(_parse(source))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


def _parse(source: Source) -> dict[str, Any]:
    text = source.text.removeprefix("\ufeff")
    try:
        data: dict[str, Any] = _without_dates(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
        line, column = (int(at[1]), int(at[2])) if at and at[1] else end
        problem = Problem(source.name, line, column, "", _AT.sub("", str(error)))
        raise ConfigError([problem]) from None
    except RecursionError:
        problem = Problem(source.name, 1, 1, "", "nested too deep")
        raise ConfigError([problem]) from None
    return data


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _places(source: Source) -> Iterator[tuple[Path, Place]]:
    """Keys and table headers, found line by line; text over several lines is blanked first."""
    table: Path = ()
    counts: dict[Path, int] = {}
    text = _INSIDE.sub(lambda found: "\n" * found[0].count("\n"), source.text)
    for number, line in enumerate(text.split("\n"), 1):
        if found := _TABLE.match(line):
            table = _path(found[2])
            place = Place(source.name, number, found.start(1) + 1)
            yield from _steps((), table, place)
            if found[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
                yield table, place
        elif found := _KEY.match(line):
            place = Place(source.name, number, found.start(1) + 1)
            yield from _steps(table, _path(found[1]), place)


def _steps(table: Path, key: Path, place: Place) -> Iterator[tuple[Path, Place]]:
    for length in range(1, len(key) + 1):
        yield (*table, *key[:length]), place


def _path(text: str) -> Path:
    return tuple(
        tomllib.loads(f"k = {part}")["k"] if part[0] == '"' else part.strip("'")
        for part in _PARTS.findall(text)
    )

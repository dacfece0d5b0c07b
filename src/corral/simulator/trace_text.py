"""A recorded trace: text in, `Trace` out.

CSV, with or without a line of column names, or JSON lines when the first line begins with `{`. The columns are `arrival`, `model`, and
where it matters `caller` and `service`; without names they stand in this order. Empty lines and, in CSV, lines that begin with `#`
are not looked at.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from corral.config.nearest import did_you_mean
from corral.errors import ConfigError, ModelNotFound, Problem
from corral.simulator.trace import Row, Trace

COLUMNS = ("arrival", "model", "caller", "service")
NEEDED = COLUMNS[:2]
ANYBODY = "anybody"
"""The caller of a request that names none."""
_LONGEST = 80


def read_trace(
    name: str, lines: Iterable[str], resolve: Callable[[str], str] = lambda model: model
) -> Trace:
    """The trace that `lines` of the file `name` hold. `resolve` gives a model's id, or raises ModelNotFound.

    Raises ConfigError with the first line that is wrong.
    """
    lines = iter(lines)
    blank: list[str] = []
    for line in lines:
        if line.strip("\ufeff \t\r\n"):
            text = chain(blank, [line.removeprefix("\ufeff")], lines)
            records = _json_lines if line.lstrip("\ufeff \t").startswith("{") else _csv
            return Trace.of(_rows(records(name, text), _Reader(name, resolve)))
        blank.append("\n")
    raise wrong(name, 0, "no requests in it")


def wrong(name: str, line: int, message: str) -> ConfigError:
    """One mistake of an input file; `line` 0: of all of it."""
    return ConfigError([Problem(name, line, min(line, 1), "", message)])


Record = tuple[int, Mapping[str, Any]]
"""The number of a line, and its values by column."""


class _Reader:
    """Values to a row; a name that was met before is not looked up again."""

    def __init__(self, name: str, resolve: Callable[[str], str]) -> None:
        self._name = name
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def row(self, line: int, values: Mapping[str, Any]) -> Row:
        service = values.get("service")
        return (
            self._seconds(line, "arrival", values.get("arrival")),
            self._model(line, values.get("model")),
            self._text(line, "caller", values.get("caller") or ANYBODY),
            math.nan if service in (None, "") else self._seconds(line, "service", service),
        )

    def _seconds(self, line: int, column: str, value: Any) -> float:
        if value in (None, ""):
            raise wrong(self._name, line, f"no {column}")
        try:
            seconds = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        if not math.isfinite(seconds):
            text = f"{column} must be a number of seconds, not {_short(value)}"
            raise wrong(self._name, line, text)
        if seconds < 0:
            raise wrong(self._name, line, f"{column} is negative: {_short(value)}")
        return seconds

    def _model(self, line: int, value: Any) -> str:
        if value in (None, ""):
            raise wrong(self._name, line, "no model")
        text = self._text(line, "model", value)
        if text not in self._known:
            try:
                self._known[text] = self._resolve(text)
            except ModelNotFound as error:
                raise wrong(self._name, line, error.message) from None
        return self._known[text]

    def _text(self, line: int, column: str, value: Any) -> str:
        if not isinstance(value, str):
            raise wrong(self._name, line, f"{column} must be text, not {_short(value)}")
        return value.strip()


def _short(value: Any) -> str:
    text = f"`{value}`" if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _rows(records: Iterator[Record], reader: _Reader) -> Iterator[Row]:
    for line, values in records:
        yield reader.row(line, values)


def _json_lines(name: str, lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise wrong(name, number, f"not JSON: {error}") from None
        if not isinstance(values, dict):
            raise wrong(name, number, "every line must be an object: {...}")
        _check_columns(name, number, list(values))
        yield number, values


def _csv(name: str, lines: Iterable[str]) -> Iterator[Record]:
    reader = csv.reader(lines, strict=True)
    columns: Sequence[str] = ()
    empty = True
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if not columns:
                columns, named = _columns(name, reader.line_num, cells)
                if named:
                    continue
            if len(cells) > len(columns):
                text = f"{len(cells)} values, but the columns are {', '.join(columns)}"
                raise wrong(name, reader.line_num, text)
            empty = False
            yield reader.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise wrong(name, reader.line_num, f"not CSV: {error}") from None
    if empty:
        raise wrong(name, 0, "no requests in it")


def _columns(name: str, line: int, cells: Sequence[str]) -> tuple[Sequence[str], bool]:
    """The names of the columns, and whether this line gives them."""
    try:
        float(cells[0])
    except ValueError:
        named = [cell.strip().lower() for cell in cells]
    else:
        return COLUMNS, False
    _check_columns(name, line, named)
    if missing := [column for column in NEEDED if column not in named]:
        raise wrong(name, line, f"no column `{missing[0]}`")
    return named, True


def _check_columns(name: str, line: int, named: Sequence[str]) -> None:
    for column in named:
        if column not in COLUMNS:
            hint = did_you_mean(column, COLUMNS) or f"; the columns are {', '.join(COLUMNS)}"
            raise wrong(name, line, f"unknown column {_short(column)}{hint}")
    if len(set(named)) < len(named):
        raise wrong(name, line, "a column stands twice")

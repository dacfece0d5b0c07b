"""The table of requests in a database: written in batches, read in pages. Fits `gateway.ports.Activities`.

1. A batch is one transaction of few statements. SQLite gives the interpreter up at each, and to get it back from a busy loop takes
   milliseconds: row by row, the disk would never keep up.
2. The table is bounded: the newest `KEPT` rows in a file, as many as the writer says in memory.
3. Ids count up for as long as the file lives, whoever writes to it.
4. The names of columns in a statement come from `COLUMNS`, never from a request.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import NamedTuple, Protocol

from corral.host.storage import Storage, is_kept

KEPT = 200_000
"""Rows in a file: some 40 MB. llama-swap keeps them all, for ever."""

COLUMNS = (
    "at",
    "model",
    "req_path",
    "resp_content_type",
    "resp_status_code",
    "cache_tokens",
    "draft_tokens",
    "draft_acc_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_per_second",
    "tokens_per_second",
    "duration_ms",
    "error_msg",
    "metadata",
)
"""Beside `id`."""

Value = int | float | str
Row = Sequence[Value]
"""In the order of `COLUMNS`."""

_NAMES = ", ".join(COLUMNS)
_ONE = f"({', '.join('?' * len(COLUMNS))})"
_INSERTS = tuple(
    (size, f"INSERT INTO requests ({_NAMES}) VALUES " + ", ".join([_ONE] * size))  # noqa: S608 - law 4
    for size in (512, 64, 8, 1)
)
"""How many rows at once, and how; 512 are 7680 values, of the 32 766 that SQLite takes."""


class Wanted(Protocol):
    """Which rows, and in which order. Times are epoch milliseconds, bounds are inclusive, None is none; no models: all."""

    @property
    def models(self) -> Sequence[str]: ...
    @property
    def start(self) -> int | None: ...
    @property
    def end(self) -> int | None: ...
    @property
    def min_id(self) -> int | None: ...
    @property
    def max_id(self) -> int | None: ...
    @property
    def column(self) -> str:
        """To sort by: `id` or one of `COLUMNS`."""
        ...

    @property
    def descending(self) -> bool: ...
    @property
    def limit(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Histogram(NamedTuple):
    """How values are spread: `bins` of equal width from `low` to `high`, and percentiles between the values next to them."""

    bins: list[int]
    low: float
    high: float
    width: float
    p50: float
    p95: float
    p99: float


class Stats(NamedTuple):
    """Over all rows of a model, or of all; a histogram is None without values."""

    requests: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int
    prompt_speed: Histogram | None
    speed: Histogram | None


class Activity:
    """The table in one storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def take_over(self) -> None:
        """Begin with what llama-swap kept, when the file was its own and there are no rows yet. Returns at once."""
        self._storage.tell(_take_over)

    def write(self, rows: Sequence[Row], in_memory: int) -> Future[int | str]:
        """Add rows: the first one's id, those of the others follow it; or why they cannot be written for now.

        `in_memory` is how many are kept where there is no file. Returns at once; the answer comes in another thread.
        """
        return self._storage.tell(partial(_write, rows, in_memory))

    async def page(self, wanted: Wanted) -> tuple[int, list[tuple[Value, ...]]] | None:
        """How many rows there are, and one page of them: `id` and `COLUMNS`. None when the database does not answer."""
        return await self._storage.ask(partial(_page, wanted), None)

    async def stats(self, model: str) -> Stats | None:
        """Totals of one model's rows, of all with an empty name. None when the database does not answer."""
        return await self._storage.ask(partial(_stats, model), None)


# --- in the database's thread --------------------------------------------------------------------------------------


def _write(rows: Sequence[Row], in_memory: int, connection: sqlite3.Connection) -> int | str:
    begin = last = 0
    try:
        for size, insert in _INSERTS:
            while len(rows) - begin >= size:
                values = list(chain.from_iterable(rows[begin : begin + size]))
                last = connection.execute(insert, values).lastrowid or 0
                begin += size
        kept = KEPT if is_kept(connection) else in_memory
        connection.execute("DELETE FROM requests WHERE id <= ?", (last - kept,))
        connection.commit()
    except sqlite3.OperationalError as error:  # locked, full, read-only: the rows are as good later
        connection.rollback()
        return str(error)
    return last + 1 - len(rows)


def _page(wanted: Wanted, connection: sqlite3.Connection) -> tuple[int, list[tuple[Value, ...]]]:
    where, values = _where(wanted)
    order = ", ".join(f"{name} {_ORDER[wanted.descending]}" for name in _sorted_by(wanted.column))
    ((total,),) = connection.execute(f"SELECT count(*) FROM requests {where}", values)  # noqa: S608
    rows = connection.execute(
        f"SELECT id, {_NAMES} FROM requests {where} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608
        (*values, wanted.limit, wanted.offset),
    )
    return total, rows.fetchall()


_ORDER = {False: "ASC", True: "DESC"}


def _sorted_by(column: str) -> tuple[str, ...]:
    """Equal ones by id, so that pages neither overlap nor leave gaps."""
    return (column, "id") if column in COLUMNS else ("id",)


def _where(wanted: Wanted) -> tuple[str, list[Value]]:
    bounds = (
        ("at >= ?", wanted.start),
        ("at <= ?", wanted.end),
        ("id >= ?", wanted.min_id),
        ("id <= ?", wanted.max_id),
    )
    given = [(sql, value) for sql, value in bounds if value is not None]
    conditions = [sql for sql, _ in given]
    values: list[Value] = [*wanted.models, *(value for _, value in given)]
    if wanted.models:
        conditions.insert(0, f"model IN ({', '.join('?' * len(wanted.models))})")
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), values


_TOTALS = """
    SELECT count(*), coalesce(sum(max(input_tokens, 0)), 0), coalesce(sum(max(output_tokens, 0)), 0),
           coalesce(sum(max(cache_tokens, 0)), 0)
    FROM requests WHERE ?1 IN ('', model)"""


def _stats(model: str, connection: sqlite3.Connection) -> Stats:
    connection.execute("BEGIN")  # all of it of the same rows
    (totals,) = connection.execute(_TOTALS, (model,))
    spreads = (
        _spread(name, model, connection) for name in ("prompt_per_second", "tokens_per_second")
    )
    return Stats(*totals, *spreads)


def _spread(column: str, model: str, connection: sqlite3.Connection) -> Histogram | None:
    """In SQL, since sorting that many here would hold up the loop."""
    values = f"SELECT {column} AS v FROM requests WHERE v > 0 AND ?1 IN ('', model)"  # noqa: S608
    ((count, low, high),) = connection.execute(
        f"SELECT count(*), min(v), max(v) FROM ({values})",  # noqa: S608
        (model,),
    )
    if not count:
        return None
    bins, width = [0] * bin_count(count, low, high), (high - low)
    width /= len(bins)
    binned = f"SELECT min(CAST((v - ?2) / ?3 AS INTEGER), ?4), count(*) FROM ({values}) GROUP BY 1"  # noqa: S608
    for index, held in connection.execute(binned, (model, low, width or 1.0, len(bins) - 1)):
        bins[index] = held
    return Histogram(bins, low, high, width, *_percentiles(values, model, count, connection))


def bin_count(count: int, low: float, high: float) -> int:
    """Sturges' rule, between 5 and 20; one when all values are equal."""
    return 1 if low == high else min(20, max(5, math.ceil(math.log2(count)) + 1))


def _percentiles(
    values: str, model: str, count: int, connection: sqlite3.Connection
) -> list[float]:
    """The 50th, 95th and 99th, each between the two values next to it."""
    ranks = [share * (count - 1) for share in (0.5, 0.95, 0.99)]
    wanted = sorted({n for rank in ranks for n in (math.floor(rank), math.ceil(rank))})
    ranked = f"SELECT v, row_number() OVER (ORDER BY v) - 1 AS n FROM ({values})"  # noqa: S608
    found = dict(
        connection.execute(
            f"SELECT n, v FROM ({ranked}) WHERE n IN ({', '.join(map(str, wanted))})",  # noqa: S608 - numbers
            (model,),
        )
    )
    return [_between(found, rank) for rank in ranks]


def _between(values: dict[int, float], rank: float) -> float:
    below, above = values[math.floor(rank)], values[math.ceil(rank)]
    return below + (rank - math.floor(rank)) * (above - below)


_TEXTS = ("model", "req_path", "resp_content_type", "error_msg", "metadata")
_THEIRS = {"at": "ts_created * 1000", "model": "model_id", "metadata": "metadata_json"}
"""What llama-swap calls it, where it is not the same."""


def _take_over(connection: sqlite3.Connection) -> None:
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(activity)")}
    if not there or connection.execute("SELECT 1 FROM requests LIMIT 1").fetchone():
        return
    given = ", ".join(_theirs(name, there) for name in COLUMNS)
    connection.execute(
        f"INSERT INTO requests (id, {_NAMES}) SELECT id, {given} FROM activity "  # noqa: S608
        "ORDER BY id DESC LIMIT ?",
        (KEPT,),
    )


def _theirs(name: str, there: set[str]) -> str:
    """What stands for a column: an older version of llama-swap lacks some."""
    nothing, found = ("''" if name in _TEXTS else "-1"), _THEIRS.get(name, name)
    return f"coalesce({found}, {nothing})" if found.split()[0] in there else nothing

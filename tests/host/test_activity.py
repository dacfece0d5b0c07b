"""The table of requests on real files: batches, pages, figures, and everything that may be wrong with the file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
import statistics
from dataclasses import dataclass, field

import pytest

from corral.dialects.activity import FIELDS
from corral.host import activity, storage
from corral.host.activity import COLUMNS, Activity, bin_count
from corral.host.storage import Storage

BOUND = 30


@dataclass
class Wanted:
    models: list[str] = field(default_factory=list)
    start: int | None = None
    end: int | None = None
    min_id: int | None = None
    max_id: int | None = None
    column: str = "id"
    descending: bool = True
    limit: int = 999
    offset: int = 0


def row(**given):
    usual = dict.fromkeys(COLUMNS, -1) | {
        "at": 1000, "model": "m", "req_path": "/v1/completions", "resp_content_type": "", "error_msg": "",
        "metadata": "", "resp_status_code": 200, "duration_ms": 5,
    }  # fmt: skip
    return tuple((usual | given).values())


async def written(table, rows, in_memory=10_000):
    return await asyncio.wait_for(asyncio.wrap_future(table.write(rows, in_memory)), BOUND)


def play(path, scene):
    """Run `scene(table)` over the database in this file; returns what it does."""

    async def whole():
        async with Storage(path) as opened:
            return await scene(Activity(opened))

    return asyncio.run(whole())


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "corral.storage")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(params=["file", "memory"])
def path(request, tmp_path):
    return tmp_path / "corral.db" if request.param == "file" else None


def test_the_columns_are_what_the_answers_call_fields():
    assert COLUMNS == FIELDS


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 511, 512, 1500])
def test_a_batch_of_any_size_is_there_in_its_order(path, count):
    async def scene(table):
        assert await written(table, [row(at=n) for n in range(count)]) == 1
        assert await written(table, [row(at=count)]) == count + 1
        total, rows = await table.page(Wanted(descending=False, limit=2000))
        assert total == count + 1
        assert [(one[0], one[1]) for one in rows] == [(n + 1, n) for n in range(count + 1)]

    play(path, scene)


def test_rows_and_ids_outlive_corral(tmp_path):
    path = tmp_path / "corral.db"

    async def first(table):
        await written(table, [row(model="a"), row(model="b")])

    async def second(table):
        assert await written(table, [row(model="c")]) == 3
        return [one[2] for one in (await table.page(Wanted()))[1]]

    play(path, first)
    assert play(path, second) == ["c", "b", "a"]


def test_two_corrals_on_one_file_do_not_mix_up_their_ids(tmp_path):
    async def scene():
        async with Storage(tmp_path / "a.db") as one, Storage(tmp_path / "a.db") as two:
            tables = [(Activity(one), "one"), (Activity(two), "two")]
            given = {}
            for n in range(20):
                table, name = tables[n % 2]
                first = await written(table, [row(model=name)] * 3)
                given |= dict.fromkeys(range(first, first + 3), name)
            _, rows = await tables[0][0].page(Wanted())
            assert {one[0]: one[2] for one in rows} == given

    asyncio.run(scene())


def test_memory_and_file_are_bounded_each_in_its_way(path, monkeypatch):
    monkeypatch.setattr(activity, "KEPT", 30)
    kept = 30 if path else 10

    async def scene(table):
        for n in range(5):
            await written(table, [row(at=n)] * 20, in_memory=10)
            total, rows = await table.page(Wanted(descending=False))
            assert total == min(kept, 20 * (n + 1))
            assert rows[-1][0] == 20 * (n + 1)  # the latest are kept, and their ids go on

    play(path, scene)


# --- reading ------------------------------------------------------------------------------------


def ids(rows):
    return [one[0] for one in rows]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [5, 4, 3, 2, 1]),
        (Wanted(descending=False), [1, 2, 3, 4, 5]),
        (Wanted(models=["a"]), [4, 1]),
        (Wanted(models=["a", "c"]), [5, 4, 1]),
        (Wanted(models=["nobody"]), []),
        (Wanted(start=20, end=40), [4, 3, 2]),
        (Wanted(min_id=2, max_id=3), [3, 2]),
        (Wanted(models=["b"], start=30), [3]),
        (Wanted(column="model", descending=False), [1, 4, 2, 3, 5]),
        (Wanted(column="duration_ms"), [1, 2, 3, 4, 5]),
        (Wanted(column="resp_status_code"), [5, 4, 3, 2, 1]),  # equal ones by id
        (Wanted(limit=2, offset=2), [3, 2]),
        (Wanted(limit=2, offset=2**40), []),
        (Wanted(column="id; DROP TABLE requests"), [5, 4, 3, 2, 1]),
        (Wanted(models=["' OR 1 --"]), []),
    ],
    ids=str,
)
def test_a_page_is_what_was_asked_for(wanted, found):
    async def scene(table):
        rows = [row(at=10 * n, model="abbac"[n - 1], duration_ms=9 - n) for n in range(1, 6)]
        await written(table, rows)
        total, page = await table.page(wanted)
        assert ids(page) == found
        if wanted.limit == 999:
            assert total == len(found)
        assert (await table.page(Wanted()))[0] == 5

    play(None, scene)


def test_a_row_comes_back_as_it_was_written():
    there = row(
        at=2**53,
        model="grüße/\0",
        error_msg='it\'s "bad"',
        metadata='{"a":1}',
        prompt_per_second=1.5,
    )

    async def scene(table):
        await written(table, [there])
        assert (await table.page(Wanted()))[1] == [(1, *there)]

    play(None, scene)


# --- figures ------------------------------------------------------------------------------------


def test_totals_count_what_is_known():
    async def scene(table):
        await written(
            table,
            [
                row(model="a", input_tokens=10, output_tokens=20, cache_tokens=-1),
                row(model="a", input_tokens=0, output_tokens=0, cache_tokens=4),
                row(model="b", input_tokens=1, output_tokens=2, cache_tokens=3),
            ],
        )
        assert (await table.stats("a"))[:4] == (2, 10, 20, 4)
        assert (await table.stats(""))[:4] == (3, 11, 22, 7)
        assert await table.stats("nobody") == (0, 0, 0, 0, None, None)

    play(None, scene)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 333])
def test_a_histogram_is_what_statistics_says(count):
    dice = random.Random(count)
    values = [dice.uniform(1, 100) for _ in range(count)]

    async def scene(table):
        rows = [row(tokens_per_second=value, prompt_per_second=0.0) for value in values]
        await written(table, [*rows, row(model="other", tokens_per_second=1e6), row()])
        found = await table.stats("m")
        assert found.prompt_speed is None  # 0 and -1 say nothing
        return found.speed

    spread = play(None, scene)
    assert (spread.low, spread.high) == (min(values), max(values))
    assert sum(spread.bins) == count
    assert len(spread.bins) == bin_count(count, spread.low, spread.high)
    if count > 1:
        assert spread.width * len(spread.bins) == pytest.approx(spread.high - spread.low)
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        assert [spread.p50, spread.p95, spread.p99] == pytest.approx([cuts[49], cuts[94], cuts[98]])
        edges = [spread.low + n * spread.width for n in range(len(spread.bins))]
        assert spread.bins[0] == sum(v < edges[1] for v in values)


def test_equal_speeds_are_one_bin():
    async def scene(table):
        await written(table, [row(tokens_per_second=7.0)] * 9)
        return (await table.stats("")).speed

    assert play(None, scene) == ([9], 7.0, 7.0, 0.0, 7.0, 7.0, 7.0)


# --- what may be wrong --------------------------------------------------------------------------


def test_a_locked_file_is_told_and_nothing_is_half_written(tmp_path, said, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.05)
    path = tmp_path / "corral.db"

    async def scene(table):
        await written(table, [row()])
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await written(table, [row()] * 600) == "database is locked"
            assert (await table.page(Wanted()))[0] == 1  # reading goes on
            other.execute("ROLLBACK")
        assert await written(table, [row()] * 600) == 2

    play(path, scene)
    assert said() == []  # whoever writes has been told


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path):
    async def scene():
        async with Storage(tmp_path / "corral.db") as opened:
            table = Activity(opened)
            await written(table, [row()])
            await opened.ask(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone(), None)
            answer = await written(table, [row(error_msg="x" * 500)] * 600)
            assert answer == "database or disk is full"
            assert (await table.page(Wanted()))[0] == 1

    asyncio.run(scene())


def test_a_file_that_is_no_database_is_set_aside_and_a_new_table_begins(tmp_path, said):
    path = tmp_path / "activity.db"
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)

    async def scene(table):
        return await written(table, [row()])

    assert play(path, scene) == 1
    assert "a new one begins" in said()[0]
    assert (tmp_path / "activity.db.unreadable").exists()


def test_where_there_can_be_no_file_the_table_is_in_memory(tmp_path, said):
    async def scene(table):
        await written(table, [row()] * 20, in_memory=10)
        return (await table.page(Wanted()))[0]

    assert play(tmp_path, scene) == 10  # a folder
    assert play(tmp_path / "gone" / "activity.db", scene) == 10
    assert all("corral goes on without it" in message for message in said())
    assert len(said()) == 2


def test_a_value_that_no_column_takes_costs_its_batch_only(said):
    async def scene(table):
        with pytest.raises(OverflowError):
            await written(table, [row(input_tokens=2**70)])
        assert await written(table, [row()]) == 1

    play(None, scene)
    assert len(said()) == 1


# --- llama-swap's file --------------------------------------------------------------------------

THEIRS = """CREATE TABLE activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ts_created INTEGER NOT NULL, model_id TEXT NOT NULL, req_path TEXT,
    resp_content_type TEXT, resp_status_code INTEGER, cache_tokens INTEGER, draft_tokens INTEGER,
    draft_acc_tokens INTEGER, input_tokens INTEGER, output_tokens INTEGER, prompt_per_second REAL,
    tokens_per_second REAL, duration_ms INTEGER{more})"""


def llama_swaps(path, more=", error_msg TEXT, metadata_json TEXT"):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(THEIRS.format(more=more))
        names = "ts_created, model_id, req_path, resp_status_code, input_tokens, duration_ms"
        for n in (1, 2):
            connection.execute(
                f"INSERT INTO activity ({names}) VALUES (?, 'a', '/v1/completions', 200, ?, 9)",
                (100 * n, n),
            )


@pytest.mark.parametrize("more", [", error_msg TEXT, metadata_json TEXT, src TEXT", ""])
def test_what_llama_swap_kept_is_taken_over_once(tmp_path, said, more):
    path = tmp_path / "activity.db"
    llama_swaps(path, more)

    async def scene(table):
        table.take_over()
        first = await written(table, [row(model="b")])
        return first, (await table.page(Wanted(descending=False)))[1]

    first, rows = play(path, scene)
    assert first == 3
    assert [(one[0], one[1], one[2], one[9]) for one in rows[:2]] == [
        (1, 100_000, "a", 1),
        (2, 200_000, "a", 2),
    ]
    assert rows[0][14:] == ("", "")
    assert play(path, scene)[0] == 4
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM activity").fetchone() == (2,)
    assert said() == []

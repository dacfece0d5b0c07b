"""Conversations on a disk that does not do as it should: turns are answered, none is lost that need not be, and it is said."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from corral.host import conversation_rows as rows
from corral.host import storage, unwritten
from corral.host.conversations import Conversations
from corral.host.storage import Storage
from corral.sessions.record import Head, Record

HEAD = Head("s", 1.0, 2.0)
PATIENT = 60.0
"""Seconds: how fast this disk is, is not what is tested."""
POSIX = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no such modes, and keeps open files"
)


def turn(text, response_id=""):
    return [
        Record({"role": "user", "content": text}, text.encode(), len(text)),
        Record({"role": "assistant", "content": text}, b"", 2, model="m", response_id=response_id),
    ]


def texts(records):
    return [record.message["content"] for record in records[::2]]


async def append(store, text, session_id="s", **more):
    return await store.append(
        session_id, 0, turn(text, **more), {text: text.encode()}, Head(session_id, 1.0, 2.0)
    )


@contextlib.asynccontextmanager
async def opened(path):
    async with Storage(path) as stored:
        yield Conversations(stored), stored


async def obeyed(stored, pragma):
    """The database's own connection is told."""
    assert await stored.ask(lambda c: (c.execute(f"PRAGMA {pragma}").fetchall(), "told")[1], "")


async def filled(stored):
    """From now on the disk is full: not a page more."""
    pages = await stored.ask(lambda c: c.execute("PRAGMA page_count").fetchone()[0], 0)
    await obeyed(stored, f"max_page_count = {pages}")


def kept(path):
    """What is in the file."""

    async def scene():
        async with opened(path) as (store, _):
            return texts(await store.messages("s", 0, 1000))

    return asyncio.run(scene())


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE", PATIENT)
    monkeypatch.setattr(storage, "LOCKED", PATIENT)


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "corral")
    return lambda: [record.getMessage() for record in caplog.records]


# --- a full disk --------------------------------------------------------------------------------


def test_on_a_full_disk_turns_wait_in_memory_and_are_seen(tmp_path, said):
    path = tmp_path / "corral.db"
    big = "x" * 20_000

    async def scene():
        async with opened(path) as (store, stored):
            assert await append(store, "first") == ""
            await filled(stored)
            trouble = await append(store, big, response_id="resp_2")
            assert "disk is full; turns are kept in memory" in trouble
            assert store.trouble == trouble
            await append(store, "third" * 5000)
            head = await store.head("s")
            assert head.messages == 6
            assert await store.newest("s", 1, 99) == turn("third" * 5000)[1:]
            assert texts(await store.newest("s", 10**6, 99)) == ["first", big, "third" * 5000]
            assert texts(await store.newest("s", 10**6, 4)) == [big, "third" * 5000]
            assert texts(await store.messages("s", 0, 99)) == ["first", big, "third" * 5000]
            assert texts(await store.messages("s", 2, 2)) == [big]
            assert texts(await store.messages("s", 4, 2)) == ["third" * 5000]
            assert len(await store.digests("s")) == 6
            assert await store.by_response("resp_2") == ("s", 4)
            assert await store.blobs([big, "first", "x"]) == {
                big: big.encode(),
                "first": b"first",
            }
            assert repr(store).endswith("2 unwritten>")
            return trouble

    trouble = asyncio.run(scene())
    assert kept(path) == ["first"]  # the disk was full to the end
    assert said() == [f"conversations: {trouble}"]  # once


def test_when_there_is_room_again_all_of_it_is_written(tmp_path):
    path = tmp_path / "corral.db"
    waiting = ["x" * 20_000, "y" * 30_000]

    async def scene():
        async with opened(path) as (store, stored):
            await append(store, "first")
            await filled(stored)
            for text in waiting:
                assert await append(store, text)
            await obeyed(stored, "max_page_count = 100000")
            assert await append(store, "last") == ""
            assert store.trouble == ""

    asyncio.run(scene())
    assert kept(path) == ["first", *waiting, "last"]


def test_what_waits_is_tried_again_when_the_store_is_left(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, stored), store.kept(lambda: 0.0):
            await obeyed(stored, "query_only = 1")
            assert await append(store, "a")
            await obeyed(stored, "query_only = 0")

    asyncio.run(scene())
    assert kept(path) == ["a"]


def test_a_session_that_is_only_in_memory_is_one(tmp_path):
    async def scene():
        async with opened(tmp_path / "corral.db") as (store, stored):
            await obeyed(stored, "query_only = 1")
            assert await store.begin(HEAD)
            assert await store.head("s") == HEAD
            await append(store, "a", response_id="r")
            assert await store.by_response("r") == ("s", 2)
            assert await store.by_response("x") is None
            assert await store.head("t") is None

    asyncio.run(scene())


def test_what_is_no_addition_is_not_done_then(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, stored):
            await append(store, "a")
            await obeyed(stored, "query_only = 1")
            assert not await store.fork("s", "t", 1)
            assert "readonly" in store.trouble
            await append(store, "b")
            assert not await store.delete("s")
            await store.cut("s", 1, "t")
            assert await store.expire(10.0) == 0
            assert texts(await store.messages("s", 0, 9)) == ["a", "b"]
            await obeyed(stored, "query_only = 0")
            assert await store.fork("s", "t", 4)  # what waited comes first
            assert texts(await store.messages("t", 0, 9)) == ["a", "b"]
            assert store.trouble == ""

    asyncio.run(scene())


def test_what_waits_is_bounded_and_what_is_lost_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(unwritten, "HELD", 1000)
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, stored):
            await obeyed(stored, "query_only = 1")
            assert "kept in memory" in await append(store, "x" * 2000)  # one is always taken
            assert "a turn is lost" in await append(store, "y")
            assert "a turn is lost" in await store.begin(HEAD)
            assert "a turn is lost" in store.trouble
            await obeyed(stored, "query_only = 0")
            assert await append(store, "z") == ""  # room is made first
            assert texts(await store.messages("s", 0, 99)) == ["x" * 2000, "z"]

    asyncio.run(scene())


def test_a_turn_that_can_never_be_written_does_not_keep_the_others(tmp_path):
    path = tmp_path / "corral.db"
    odd = Record({"role": "user", "content": object()}, b"", 1)

    async def scene():
        async with opened(path) as (store, stored):
            await obeyed(stored, "query_only = 1")
            await store.append("s", 0, [odd], {}, HEAD)
            await append(store, "a")
            await obeyed(stored, "query_only = 0")
            assert "a turn is lost" in await append(store, "b")
            assert texts(await store.messages("s", 0, 9)) == ["a", "b"]
            assert await append(store, "c") == ""
            assert store.trouble == ""

    asyncio.run(scene())


# --- a disk that does not answer ----------------------------------------------------------------


def test_a_disk_that_does_not_answer_keeps_nobody_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE", 0.05)
    path = tmp_path / "corral.db"
    disk = threading.Event()

    async def scene():
        async with opened(path) as (store, stored):
            stuck = stored.tell(lambda _: disk.wait(30))
            assert "the disk does not answer" in await append(store, "a")
            assert await store.head("s") is None
            assert await store.messages("s", 0, 9) == []
            assert not await store.delete("s")
            assert "the disk does not answer" in store.trouble
            monkeypatch.setattr(storage, "PATIENCE", PATIENT)
            disk.set()
            await asyncio.wrap_future(stuck)
            assert texts(await store.messages("s", 0, 9)) == ["a"]
            assert await append(store, "b") == ""
            assert store.trouble == ""

    asyncio.run(scene())
    assert kept(path) == ["a", "b"]


def test_a_client_that_leaves_does_not_take_its_turn_along(tmp_path):
    path = tmp_path / "corral.db"
    disk = threading.Event()

    async def scene():
        async with opened(path) as (store, stored):
            stored.tell(lambda _: disk.wait(30))
            writing = asyncio.create_task(append(store, "a"), name="a request")
            await asyncio.sleep(0)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
            disk.set()

    asyncio.run(scene())
    assert kept(path) == ["a"]


def test_another_program_that_writes_is_waited_for_and_then_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.05)
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, _):
            await append(store, "a")
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                assert "database is locked; turns are kept" in await append(store, "b")
                assert texts(await store.messages("s", 0, 9)) == ["a", "b"]
                monkeypatch.setattr(storage, "LOCKED", 3600)  # nobody waits for it a second time
                assert "database is locked; turns are kept" in await append(store, "c")
                assert texts(await store.messages("s", 0, 9)) == ["a", "b", "c"]
                other.execute("ROLLBACK")
            assert await append(store, "d") == ""

    asyncio.run(scene())
    assert kept(path) == ["a", "b", "c", "d"]


def test_a_start_while_another_program_writes_uses_the_file(tmp_path):
    path = tmp_path / "corral.db"
    assert kept(path) == []

    async def scene():
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with opened(path) as (store, _):
                assert await store.head("s") is None
                other.execute("ROLLBACK")
                assert await append(store, "a") == ""

    asyncio.run(scene())
    assert kept(path) == ["a"]


def test_two_corrals_on_one_file_number_on(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (one, _), opened(path) as (two, _):
            for n in range(10):
                await asyncio.gather(append(one, f"{n}"), append(two, f"{n}"))
            head = await one.head("s")
            assert head.messages == 40
            assert (await two.head("s")).messages == 40

    asyncio.run(scene())
    assert sorted(kept(path), key=int) == [str(n // 2) for n in range(20)]


# --- no file ------------------------------------------------------------------------------------


def test_without_a_file_conversations_go_on_in_memory():
    async def scene():
        async with opened(None) as (store, _):
            assert (
                "there is no folder for what corral should remember; conversations are kept in memory"
                in await append(store, "a")
            )
            assert await append(store, "b") == store.trouble
            assert texts(await store.messages("s", 0, 9)) == ["a", "b"]
            assert await store.fork("s", "t", 2)
            assert store.trouble

    asyncio.run(scene())


def test_a_folder_in_its_place_is_told_at_once(tmp_path, said):
    async def scene():
        async with opened(tmp_path) as (store, _), store.kept(lambda: 0.0):
            while not store.trouble:  # noqa: ASYNC110 - before anybody has written
                await asyncio.sleep(0)
            assert store.trouble.startswith(f"{tmp_path}: unable to open database file; ")
            await append(store, "a")
            assert texts(await store.messages("s", 0, 9)) == ["a"]

    asyncio.run(scene())
    assert len(said()) == 1  # by the database


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that not even root may write")
def test_a_folder_that_cannot_be_written():
    async def scene():
        async with opened(Path("/proc/self/corral.db")) as (store, _):
            assert "/proc/self/corral.db" in await append(store, "a")
            assert texts(await store.messages("s", 0, 9)) == ["a"]

    asyncio.run(scene())


def test_a_newer_corrals_file_is_left_alone(tmp_path):
    path = tmp_path / "corral.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 999")
    before = path.read_bytes()

    async def scene():
        async with opened(path) as (store, _):
            assert "a newer corral made it" in await append(store, "a")
            assert texts(await store.messages("s", 0, 9)) == ["a"]

    asyncio.run(scene())
    assert path.read_bytes() == before


# --- on the disk --------------------------------------------------------------------------------


def test_a_turn_is_synced_and_nothing_else_is(tmp_path):
    levels = []

    def job(connection):
        def level():
            levels.append(connection.execute("PRAGMA synchronous").fetchone()[0])

        with rows.transaction(connection):
            level()
        level()
        with rows.transaction(connection, synced=False):
            level()
        with contextlib.suppress(ZeroDivisionError), rows.transaction(connection):
            raise ZeroDivisionError
        level()

    async def scene():
        async with opened(tmp_path / "corral.db") as (_, stored):
            await asyncio.wrap_future(stored.tell(job))

    asyncio.run(scene())
    assert levels == [2, 1, 1, 1]  # FULL, NORMAL


# --- a file that breaks -------------------------------------------------------------------------


def test_a_table_that_is_gone_is_told_and_turns_wait(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, _):
            await append(store, "a")
            with contextlib.closing(sqlite3.connect(path)) as other:
                other.execute("ALTER TABLE messages RENAME TO gone")
                assert await store.head("s") is None
                assert store.trouble == f"{path}: no such table: messages"
                assert "no such table: messages; turns are kept" in await append(store, "b")
                other.execute("ALTER TABLE gone RENAME TO messages")
            assert await append(store, "c") == ""

    asyncio.run(scene())
    assert kept(path) == ["a", "b", "c"]


def test_a_file_that_is_no_database_is_set_aside(tmp_path, said):
    path = tmp_path / "corral.db"
    path.write_bytes(b"no database at all" * 1000)

    async def scene():
        async with opened(path) as (store, _):
            return await append(store, "a")

    assert asyncio.run(scene()) == ""
    assert kept(path) == ["a"]
    assert len(said()) == 1
    assert (tmp_path / "corral.db.unreadable").is_file()


@pytest.mark.parametrize("reads", [True, False])
def test_a_file_that_breaks_while_it_is_used_costs_what_was_in_it(tmp_path, said, reads):
    path = tmp_path / "corral.db"

    async def write():
        async with opened(path) as (store, _):
            for n in range(50):
                await append(store, f"{n}" * 1000)

    async def go_on():
        async with opened(path) as (store, _):
            if reads:
                assert await store.head("s") is None  # nothing to go on from
            assert await append(store, "new") == ""
            assert await append(store, "next") == ""
            assert store.trouble == ""

    asyncio.run(write())
    size = path.stat().st_size
    with path.open("r+b") as file:  # the header and the schema are sound
        file.seek(4096 * 4)
        file.write(b"\xff" * (size - 4096 * 4))
    asyncio.run(go_on())
    assert kept(path) == ["new", "next"]
    assert "a new one begins" in said()[0]


@POSIX
def test_a_file_that_is_removed_while_it_is_used_begins_anew(tmp_path, said):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, _):
            await append(store, "a")
            for file in tmp_path.iterdir():
                file.unlink()
            assert await store.head("s") is None
            assert await store.append("s", 2, turn("b"), {}, HEAD) == ""
            assert (await store.head("s")).messages == 2

    asyncio.run(scene())
    assert kept(path) == ["b"]
    assert said() == [f"{path}: somebody has removed it; a new one begins"]


@POSIX
def test_what_waits_outlives_the_file_that_would_not_take_it(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, stored):
            await obeyed(stored, "query_only = 1")
            await append(store, "a")
            for file in tmp_path.iterdir():
                file.unlink()
            assert await append(store, "b") == ""

    asyncio.run(scene())
    assert kept(path) == ["a", "b"]


# --- nobody else's business ---------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("there", [False, True])
def test_only_the_owner_reads_it(tmp_path, there):
    path = tmp_path / "corral.db"

    async def scene():
        async with opened(path) as (store, _), store.kept(lambda: 0.0):
            await append(store, "a")
            return {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}

    old = os.umask(0)
    try:
        if there:  # and anybody may read it
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA user_version = 0")
            path.chmod(0o666)
        modes = asyncio.run(scene())
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("corral.db", "corral.db-wal", "corral.db-shm"), 0o600)

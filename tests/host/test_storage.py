"""The database on real files: what is kept, and everything that may be wrong with a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from corral.config.command import LaunchSpec
from corral.host import storage
from corral.host.load_times import COMMANDS, LoadTimes, fingerprint
from corral.host.storage import MIGRATIONS, Storage

SPECS = {
    "a": LaunchSpec("a", ("serve", "-m", "a.gguf", "--port", "${PORT}"), "http://x:1", port=1),
    "b": LaunchSpec("b", ("serve", "-m", "b.gguf"), "http://x:2", env={"GPU": "0"}),
}


def learned(path, *told, specs=SPECS):
    """Open the file, remember what is told, and say what is known then (after all of it was stored)."""

    async def scene():
        async with Storage(path) as opened:
            times = LoadTimes(opened, specs)
            for model, seconds in told:
                times.remember(model, seconds)
            return await times.load()

    return asyncio.run(scene())


def rows(path, sql="SELECT model, seconds, samples FROM load_times ORDER BY model"):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "corral.storage")
    return lambda: [record.getMessage() for record in caplog.records]


# --- load times ---------------------------------------------------------------------------------


def test_what_was_learned_is_there_after_a_restart(tmp_path, said):
    path = tmp_path / "corral.db"
    assert learned(path) == {}
    assert learned(path, ("a", 1.5), ("b", 20.0), ("a", 2.5)) == {"a": 2.5, "b": 20.0}
    assert learned(path) == {"a": 2.5, "b": 20.0}
    assert rows(path) == [("a", 2.5, 2), ("b", 20.0, 1)]
    assert said() == []


def test_leaving_stores_what_was_told(tmp_path):
    path = tmp_path / "corral.db"

    async def scene():
        async with Storage(path) as opened:
            times = LoadTimes(opened, SPECS)
            for seconds in range(1, 101):
                times.remember("a", float(seconds))

    asyncio.run(scene())
    assert rows(path) == [("a", 100.0, 100)]
    assert [file.name for file in tmp_path.iterdir()] == ["corral.db"]  # its log is written back


def test_a_changed_command_is_another_time(tmp_path):
    path = tmp_path / "corral.db"
    bigger = {"a": replace(SPECS["a"], argv=("serve", "-m", "a-f16.gguf"))}
    learned(path, ("a", 1.0))
    assert learned(path, specs=bigger) == {}
    assert learned(path, ("a", 9.0), specs=bigger) == {"a": 9.0}
    assert learned(path) == {"a": 1.0}  # and back


def test_the_fingerprint_is_the_commands_and_its_environments(tmp_path):
    spec = SPECS["b"]
    assert fingerprint(replace(spec, port=7, start_timeout=1)) == fingerprint(spec)
    assert fingerprint(replace(spec, env={"GPU": "1"})) != fingerprint(spec)
    assert fingerprint(replace(spec, argv=("serve", "-m b.gguf"))) != fingerprint(spec)


def test_old_commands_are_forgotten_in_the_end(tmp_path):
    path = tmp_path / "corral.db"
    for n in range(COMMANDS + 3):
        learned(path, ("a", float(n + 1)), specs={"a": replace(SPECS["a"], argv=("serve", str(n)))})
    learned(path, ("b", 1.0))
    assert len(rows(path)) == COMMANDS + 1
    assert learned(path, specs={"a": replace(SPECS["a"], argv=("serve", "0"))}) == {}


@pytest.mark.parametrize("seconds", ["'soon'", "-1", "0", "9e999", "x'00'"])
def test_a_time_that_is_none_is_not_believed(tmp_path, seconds):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0), ("b", 2.0))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE load_times SET seconds = {seconds} WHERE model = 'a'")
    assert learned(path) == {"b": 2.0}


def test_without_a_file_nothing_outlives_corral_and_nothing_fails(said):
    assert learned(None, ("a", 1.0)) == {"a": 1.0}
    assert learned(None) == {}
    assert said() == []


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one" * 100, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_set_aside(tmp_path, said, content):
    path = tmp_path / "corral.db"
    path.write_bytes(content)
    assert learned(path, ("a", 1.0)) == {"a": 1.0}
    assert learned(path) == {"a": 1.0}
    assert (tmp_path / "corral.db.unreadable").read_bytes() == content
    (message,) = said()
    assert message.startswith(f"{path}: ")
    assert message.endswith("; it is now corral.db.unreadable, and a new one begins")


def test_a_file_that_breaks_while_it_is_used_is_set_aside_and_the_job_done_anew(tmp_path, said):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    with path.open("r+b") as file:  # the header and the schema are sound, the table is not
        file.seek(4096)
        file.write(b"\xff" * 4096)
    assert learned(path, ("b", 2.0)) == {"b": 2.0}
    assert learned(path) == {"b": 2.0}
    assert "a new one begins" in said()[0]
    assert len(said()) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a file that is open")
def test_a_file_that_is_removed_while_it_is_used_begins_anew(tmp_path, said):
    path = tmp_path / "corral.db"

    def remove():
        for part in ("", "-wal", "-shm"):
            Path(f"{path}{part}").unlink()

    async def scene():
        async with Storage(path) as opened:
            times = LoadTimes(opened, SPECS)
            times.remember("a", 1.0)
            assert await times.load() == {"a": 1.0}
            remove()
            times.remember("b", 2.0)
            assert await times.load() == {"b": 2.0}

    asyncio.run(scene())
    assert rows(path) == [("b", 2.0, 1)]
    assert said() == [f"{path}: somebody has removed it; a new one begins"]


def test_only_the_last_unreadable_file_is_kept(tmp_path):
    path = tmp_path / "corral.db"
    for content in (b"one" * 100, b"two" * 100):
        path.write_bytes(content)
        learned(path)
    assert (tmp_path / "corral.db.unreadable").read_bytes() == b"two" * 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["corral.db", "corral.db.unreadable"]


def test_a_folder_in_its_place(tmp_path, said):
    path = tmp_path / "corral.db"
    path.mkdir()
    assert learned(path, ("a", 1.0)) == {"a": 1.0}  # for as long as corral runs
    assert learned(path) == {}
    assert all("corral goes on without it" in message for message in said())
    assert len(said()) == 2


def test_a_folder_that_is_not_there(tmp_path, said):
    assert learned(tmp_path / "gone" / "corral.db", ("a", 1.0)) == {"a": 1.0}
    assert len(said()) == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that not even root may write")
def test_a_folder_that_cannot_be_written(said):
    assert learned(Path("/proc/self/corral.db"), ("a", 1.0)) == {"a": 1.0}
    (message,) = said()
    assert "corral goes on without it" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_can_only_be_read(tmp_path, said):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    path.chmod(0o400)
    learned(path, ("a", 2.0))
    path.chmod(0o600)
    assert rows(path) == [("a", 1.0, 1)]
    assert len(said()) >= 1


def test_a_database_that_others_write_to(tmp_path):
    """Two corrals with one configuration: both learn."""
    path = tmp_path / "corral.db"

    async def scene():
        async with Storage(path) as one, Storage(path) as two:
            for n in range(1, 51):
                LoadTimes(one, SPECS).remember("a", float(n))
                LoadTimes(two, SPECS).remember("b", float(n))

    asyncio.run(scene())
    assert rows(path) == [("a", 50.0, 50), ("b", 50.0, 50)]


def test_a_locked_database_is_waited_for_and_then_done_without(tmp_path, said, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.05)
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert learned(path, ("a", 2.0)) == {"a": 2.0}
        other.execute("ROLLBACK")
    assert said() == [
        f"{path}: database is locked; corral goes on without it, and forgets with its end what it learns"
    ]
    assert learned(path) == {"a": 1.0}


def test_a_database_that_is_locked_later_loses_only_what_was_told_then(tmp_path, said, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.05)
    path = tmp_path / "corral.db"

    async def scene():
        async with Storage(path) as opened:
            times = LoadTimes(opened, SPECS)
            await times.load()
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                times.remember("a", 1.0)
                assert await times.load() == {}
                other.execute("ROLLBACK")
            times.remember("b", 2.0)
            return await times.load()

    assert asyncio.run(scene()) == {"b": 2.0}
    assert said() == [f"{path}: database is locked; this was not stored"]


# --- migrations ---------------------------------------------------------------------------------


def notes(connection):
    return connection.execute(
        "SELECT model, note, (SELECT count(*) FROM t) FROM load_times"
    ).fetchall()


def test_an_older_file_is_brought_up_to_date(tmp_path):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    more = (
        *MIGRATIONS,
        "ALTER TABLE load_times ADD COLUMN note TEXT DEFAULT 'x'",
        "CREATE TABLE t (n)",
    )

    async def scene():
        for _ in range(2):  # the second time there is nothing left to do
            async with Storage(path, more) as opened:
                assert await opened.ask(notes, []) == [("a", "x", 0)]

    asyncio.run(scene())
    assert rows(path, "PRAGMA user_version") == [(len(more),)]


def test_a_migration_that_fails_changes_nothing(tmp_path, said):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    broken = (*MIGRATIONS, "CREATE TABLE t (n)", "ALTER TABLE nobody ADD COLUMN x")

    async def scene():
        async with Storage(path, broken) as opened:
            return await LoadTimes(opened, SPECS).load()

    assert asyncio.run(scene()) == {}
    assert "nobody" in said()[0]
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert learned(path) == {"a": 1.0}


def test_a_newer_corrals_file_is_left_alone(tmp_path, said):
    path = tmp_path / "corral.db"
    learned(path, ("a", 1.0))
    rows(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    assert learned(path, ("a", 2.0)) == {"a": 2.0}
    assert path.read_bytes() == before
    assert "a newer corral made it" in said()[0]


# --- the thread ---------------------------------------------------------------------------------


def test_a_disk_that_does_not_answer_keeps_nobody(tmp_path, said, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE", 0.05)
    disk = threading.Event()

    async def scene():
        async with Storage(tmp_path / "corral.db") as opened:
            opened.tell(lambda _: disk.wait(30))
            assert await LoadTimes(opened, SPECS).load() == {}

    asyncio.run(scene())
    disk.set()
    assert [message.split(": ")[1].split(";")[0] for message in said()] == [
        "the disk does not answer"
    ] * 2


def test_what_waits_for_the_disk_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "WAITING", 3)
    disk, begun, done = threading.Event(), threading.Event(), []

    def slow(_):
        begun.set()
        disk.wait(30)

    async def scene():
        async with Storage(tmp_path / "corral.db") as opened:
            opened.tell(slow)
            await asyncio.to_thread(begun.wait, 30)
            for n in range(100):
                opened.tell(lambda _, n=n: done.append(n))
            assert await opened.ask(lambda _: "answered", "no answer") == "no answer"
            disk.set()
            while len(done) < 3:  # noqa: ASYNC110 - it offers nothing to wait on
                await asyncio.sleep(0)

    asyncio.run(scene())
    assert done == [0, 1, 2]


def test_a_job_that_fails_costs_itself_alone(tmp_path, said):
    async def scene():
        async with Storage(tmp_path / "corral.db") as opened:
            opened.tell(lambda _: 1 / 0)
            assert await opened.ask(lambda c: c.execute("SELECT * FROM nobody"), "lost") == "lost"
            return await opened.ask(lambda c: c.execute("SELECT 1").fetchone(), None)

    assert asyncio.run(scene()) == (1,)
    assert len(said()) == 2

"""The files that slots are saved in: what is kept, what goes, and what is never used."""

from __future__ import annotations

import asyncio
import os
import stat
import threading

import pytest

from corral.config.load import Source, load
from corral.host import slot_files
from corral.host.slot_disk import Place
from corral.host.slot_files import SlotFiles

IDENTITY = "0123456789abcdef"
BOUND = 60


@pytest.fixture
def run():
    """Run a scene to its end, bounded."""

    def go(scene):
        asyncio.run(asyncio.wait_for(scene, BOUND))

    return go


def config(sessions="sessions: {}", models=("m", "n")):
    rows = "".join(f'  {model}: {{cmd: "true", proxy: "http://localhost:1"}}\n' for model in models)
    return load([Source("config.yaml", f"{sessions}\nmodels:\n{rows}")], {})


def place(files, model="m", identity=IDENTITY):
    return Place(model, identity, files.own_folder(identity))


async def saved(files, where, session="s", content=b"x" * 100, mark="mark"):
    """As an engine does: under the draft's name, then told to be complete."""
    (where.folder / files.draft(where, session, mark)).write_bytes(content)
    return await files.keep(where, session, mark, len(content))


async def settled(files):
    assert await files.identified(lambda: "so far")


def names(folder):
    return sorted(path.name for path in folder.rglob("corral-*"))


async def opened(files, **which):
    where = place(files, **which)
    assert await files.opened(where)
    files.use(where.model, where)
    return where


def test_what_is_kept_is_found_until_it_is_forgotten(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            assert await saved(files, where) == 100
            file = files.find(where, "s", "mark")
            assert file.path.read_bytes() == b"x" * 100
            assert await files.usable(file)
            assert files.parked("s") == files.sizes() == {"m": 100}
            assert files.find(where, "s", "another mark") is None
            assert files.find(where, "t", "mark") is None
            assert files.find(place(files, identity="f" * 16), "s", "mark") is None
            files.forget("s")
            await settled(files)
            assert files.find(where, "s", "mark") is None
            assert names(tmp_path) == []

    run(scene())


@pytest.mark.parametrize("session", ["", "../../etc/passwd", "a" * 5000, "ü\x00\n", "\ud800"])
def test_any_text_may_be_a_sessions_id(tmp_path, run, session):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where, session)
            assert files.parked(session) == {"m": 100}
            (name,) = names(where.folder)
            assert name.isascii()

    run(scene())


def test_everything_is_private(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            for path in (tmp_path / "slots").rglob("*"):
                if path.is_dir():
                    assert stat.S_IMODE(path.stat().st_mode) == 0o700
            (file,) = where.folder.glob("*.kv")
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    run(scene())


def test_a_later_one_takes_the_place_of_the_one_before(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            await saved(files, where, content=b"y" * 50, mark="another")
            assert files.parked("s") == {"m": 50}
            assert len(names(tmp_path)) == 1

    run(scene())


def test_what_was_not_written_whole_is_not_kept(tmp_path, run, caplog):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            (where.folder / files.draft(where, "s", "mark")).write_bytes(b"x" * 60)
            assert await files.keep(where, "s", "mark", 100) == 0  # the disk was full
            assert await files.keep(where, "s", "mark", 100) == 0  # there is none
            assert names(tmp_path) == []

    run(scene())
    assert "60 bytes of 100 were written" in caplog.text


def other_size(path):
    os.truncate(path, 10)


def other_content(path):
    path.write_bytes(b"z" * 100)


@pytest.mark.parametrize("change", [other_size, other_content, os.unlink])
@pytest.mark.parametrize("again", [False, True], ids=["while it runs", "before it starts"])
def test_what_has_changed_is_not_used(tmp_path, run, change, again):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            file = files.find(where, "s", "mark")
            if not again:
                change(file.path)
                assert not await files.usable(file)
        if again:
            change(file.path)
        async with SlotFiles(tmp_path, config()) as files:
            assert files.parked("s") == {}
        assert names(tmp_path) == []

    run(scene())


def test_a_restart_finds_what_was_complete(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            await saved(files, where, "t")
            half = files.find(where, "t", "mark").path
            half.rename(half.with_name(files.draft(where, "t", "mark")))
            half.with_name(f"corral-{IDENTITY}-something-else").touch()
        async with SlotFiles(tmp_path, config()) as files:
            assert files.parked("s") == {"m": 100}
            assert files.parked("t") == {}
            assert len(names(tmp_path)) == 1

    run(scene())


def test_half_a_file_goes_with_the_next_launch(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            (where.folder / files.draft(where, "s", "mark")).write_bytes(b"x")
            await opened(files)
            assert names(tmp_path) == []

    run(scene())


def test_what_is_of_no_use_any_more_goes_at_the_start(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            for model, identity in (("m", "a" * 16), ("n", "b" * 16)):
                await saved(files, await opened(files, model=model, identity=identity))
        (tmp_path / "slots" / "strange").mkdir()
        async with SlotFiles(tmp_path, config(models=["m"])) as files:
            assert files.sizes() == {"m": 100}
            homes = {home.name for home in (tmp_path / "slots").iterdir() if home.is_dir()}
            assert homes == {"a" * 16}
        async with SlotFiles(tmp_path, config("")) as files:  # not wanted any more
            assert not files.enabled
            assert names(tmp_path) == []

    run(scene())


def test_places_that_were_tried_out_and_left_go(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            empty, told = [await opened(files, identity=one * 16) for one in "ab"]
            files.tried(told, helped=False)
            other = await opened(files, model="n", identity="c" * 16)
            await opened(files, identity="d" * 16)
            assert not empty.folder.exists()
            assert told.folder.exists()
            assert other.folder.exists()

    run(scene())


def test_the_quota_takes_what_was_used_longest_ago(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config("sessions: {parkQuota: 250}")) as files:
            where = await opened(files)
            await saved(files, where, "s")
            await saved(files, where, "t")
            assert await files.usable(files.find(where, "s", "mark"))
            assert await saved(files, where, "u") == 100
            assert [files.parked(one) for one in "stu"] == [{"m": 100}, {}, {"m": 100}]
            assert await saved(files, where, "v", b"x" * 251) == 0  # more than there is room for
            assert files.sizes() == {"m": 200}
            files.adopt(config("sessions: {parkQuota: 100}"))
            await settled(files)
            assert files.parked("u") == {"m": 100}
            assert len(names(tmp_path)) == 1

    run(scene())


def test_how_long_ago_it_was_used_outlives_corral(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            for session in "stu":
                await saved(files, where, session)
            assert await files.usable(files.find(where, "s", "mark"))
        async with SlotFiles(tmp_path, config("sessions: {parkQuota: 100}")) as files:
            assert files.parked("s") == {"m": 100}

    run(scene())


def test_parking_may_begin_with_a_reload(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config("")) as files:
            assert not (tmp_path / "slots").exists()
            files.adopt(config())
            await settled(files)
            assert files.enabled
            await saved(files, await opened(files))
            files.adopt(config(""))
            assert files.place("m") is None
            files.adopt(config())
            await settled(files)
            assert files.parked("s") == {"m": 100}

    run(scene())


def test_what_is_older_than_any_session_goes(tmp_path, run):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            file = files.find(where, "s", "mark")
            os.utime(file.path, ns=(file.used - 11 * 10**9, file.written))
        async with SlotFiles(tmp_path, config("sessions: {ttl: 1000}")) as files:
            assert files.parked("s") == {"m": 100}
        async with SlotFiles(tmp_path, config("sessions: {ttl: 10}")) as files:
            assert files.parked("s") == {}

    run(scene())


def test_a_folder_that_a_command_names(tmp_path, run):
    async def scene():
        own = tmp_path / "own"
        own.mkdir()
        (own / "notes.txt").touch()
        async with SlotFiles(tmp_path, config()) as files:
            where = Place("m", IDENTITY, own)
            assert await files.opened(where)
            await saved(files, where)
        async with SlotFiles(tmp_path, config()) as files:
            assert files.parked("s") == {"m": 100}
            assert not await files.opened(Place("m", "f" * 16, tmp_path / "nowhere"))
        async with SlotFiles(tmp_path, config(models=["n"])):
            assert [path.name for path in own.iterdir()] == ["notes.txt"]

    run(scene())


def test_what_is_learned_outlives_corral(tmp_path, run, caplog):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            for _ in range(2):
                assert files.place("m") == where
                files.tried(where, helped=False)
            assert files.place("m") is None
        async with SlotFiles(tmp_path, config()) as files:
            await opened(files)
            assert files.place("m") is None
            helps = await opened(files, identity="f" * 16)  # launched otherwise
            for helped in (True, False, False, False):
                files.tried(helps, helped=helped)
            assert files.place("m") == helps

    run(scene())
    assert caplog.text.count("parked no more") == 1


def test_without_a_folder_nothing_is_parked_and_that_is_said_once(run, caplog):
    async def scene():
        async with SlotFiles(None, config()) as files:
            assert not files.enabled
            assert files.place("m") is None
            assert files.parked("s") == {}
            files.adopt(config())
            files.forget("s")
        async with SlotFiles(None, config("")):
            pass

    run(scene())
    assert caplog.text.count("nothing is parked") == 1


def test_a_second_corral_parks_nothing(tmp_path, run, caplog):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            await saved(files, await opened(files))
            async with SlotFiles(tmp_path, config()) as second:
                assert not second.enabled
            assert files.parked("s") == {"m": 100}
        async with SlotFiles(tmp_path, config()) as files:
            assert files.enabled

    run(scene())
    assert "another corral" in caplog.text


def test_a_folder_that_cannot_be_used(tmp_path, run, caplog):
    async def scene():
        (tmp_path / "slots").touch()
        async with SlotFiles(tmp_path, config()) as files:
            assert not files.enabled

    run(scene())
    assert "parked files: " in caplog.text


def test_a_disk_that_hangs_is_waited_for_a_while(tmp_path, run, monkeypatch, caplog):
    hangs = threading.Event()

    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            await saved(files, where)
            monkeypatch.setattr(slot_files, "WITHIN", 0.05)
            files._told(lambda: hangs.wait(30))
            assert not await files.usable(files.find(where, "s", "mark"))
            files.forget("s")  # returns at once
            hangs.set()
            monkeypatch.undo()
            await settled(files)
            assert files.parked("s") == {}

    run(scene())
    assert "the disk does not answer" in caplog.text


def test_trouble_is_told_and_costs_nothing_else(tmp_path, run, caplog):
    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            where = await opened(files)
            (where.folder / files.draft(where, "s", "mark")).mkdir()
            files.discard(where, "s", "mark")
            await settled(files)
            await asyncio.sleep(0)  # it is told in the loop
            assert "SlotDisk" in repr(files)

    run(scene())
    assert "parked files: " in caplog.text


@pytest.mark.parametrize("about", ["", "{", "[]", '{"model": "m"}', '{"model": "m", "folder": 1}'])
def test_a_place_that_nobody_can_tell_what_it_is(tmp_path, run, about):
    home = tmp_path / "slots" / IDENTITY
    home.mkdir(parents=True)
    (home / "about.json").write_text(about)

    async def scene():
        async with SlotFiles(tmp_path, config()) as files:
            assert files.enabled
            assert not home.exists()

    run(scene())

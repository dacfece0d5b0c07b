"""Real files, edited in all the ways in which people and machines edit."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager, suppress

import pytest

from corral.host.watch import Watch, file, folder

QUICK = 0.005


class Seen:
    """What a watch tells: `await seen.next()` for the next change."""

    def __init__(self, watch):
        self._watch = watch
        self._news = asyncio.Queue()

    async def follow(self):
        async for change in self._watch:
            self._news.put_nowait(change)

    async def next(self):
        await asyncio.wait_for(self._news.get(), 30)

    @property
    def count(self):
        return self._news.qsize()


@asynccontextmanager
async def watching(*looks, **how):
    looked = [0]

    def counted():
        looked[0] += 1
        return "here"

    seen = Seen(Watch([*looks, counted], period=QUICK, settle=QUICK, **how))

    async def looks_again(times=4):
        """That often it has looked, from its beginning to its end."""
        until = looked[0] + times
        async with asyncio.timeout(30):
            while looked[0] < until:  # noqa: ASYNC110 - a look is made in a thread, and tells nobody
                await asyncio.sleep(QUICK)

    seen.looks_again = looks_again
    task = asyncio.create_task(seen.follow())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    return path


def replaced(path, text):
    """As editors do: another file under the same name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_what_is_there_at_first_is_no_change(config):
    async def scene():
        async with watching(file(config)) as seen:
            await seen.looks_again()
            assert seen.count == 0

    asyncio.run(scene())


def test_an_edit_before_the_first_round_is_seen(config):
    async def scene():
        watch = file(config)
        async with watching(watch) as seen:
            config.write_text("a: 22\n")
            await seen.next()

    asyncio.run(scene())


@pytest.mark.parametrize("way", ["in place", "replaced", "longer", "same size"])
def test_every_way_to_edit_is_seen_once(config, way):
    async def scene():
        async with watching(file(config)) as seen:
            if way == "replaced":
                replaced(config, "a: 1\n")  # the same text, even: it may not be what was read
            else:
                config.write_text(
                    {"same size": "b: 2\n", "longer": "a: 1\nb: 2\n"}.get(way, "c: 3")
                )
                os.utime(config, ns=(1, 1))
            await seen.next()
            await seen.looks_again()
            assert seen.count == 0

    asyncio.run(scene())


def test_a_link_that_leads_elsewhere_is_another_file(tmp_path):
    """How Kubernetes swaps a mounted ConfigMap: a link to a folder is replaced."""

    def version(name, text):
        where = tmp_path / name
        where.mkdir()
        (where / "config.yaml").write_text(text)
        return where

    link = tmp_path / "..data"
    link.symlink_to(version("v1", "a: 1\n"))
    path = tmp_path / "config.yaml"
    path.symlink_to("..data/config.yaml")

    async def scene():
        async with watching(file(path)) as seen:
            fresh = tmp_path / "..tmp"
            fresh.symlink_to(version("v2", "a: 2\n"))
            fresh.replace(link)
            await seen.next()

    asyncio.run(scene())


def test_a_file_that_goes_is_no_change_until_it_is_back(config):
    async def scene():
        async with watching(file(config)) as seen:
            config.unlink()
            await seen.looks_again()
            assert seen.count == 0
            config.write_text("a: 2\n")
            await seen.next()

    asyncio.run(scene())


def test_a_file_that_was_not_there(tmp_path):
    async def scene():
        async with watching(file(tmp_path / "late.yaml")) as seen:
            (tmp_path / "late.yaml").write_text("a: 1\n")
            await seen.next()

    asyncio.run(scene())


def test_an_empty_file_is_one_that_is_being_written(config):
    async def scene():
        async with watching(file(config)) as seen:
            config.write_text("")
            await seen.looks_again()
            assert seen.count == 0
            config.write_text("a: 3\n")
            await seen.next()

    asyncio.run(scene())


def test_nothing_is_told_while_it_is_still_changing():
    numbers = iter([1, 2, 3, 4, 5, 5, 5])
    last = [5]

    def look():
        last[0] = next(numbers, last[0])
        return last[0]

    async def scene():
        async with watching(look) as seen:
            await seen.next()
            assert last[0] == 5
            await seen.looks_again()
            assert seen.count == 0

    asyncio.run(scene())


def test_what_never_stops_changing_is_told_all_the_same():
    numbers = iter(range(10**6))

    async def scene():
        async with watching(lambda: next(numbers)) as seen:
            await seen.next()
            await seen.next()

    asyncio.run(scene())


def test_a_folder(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1\n")

    async def scene():
        async with watching(folder(tmp_path, (".yaml", ".yml"))) as seen:
            (tmp_path / "notes.txt").write_text("nothing")
            (tmp_path / "a.yaml~").write_text("nothing")
            await seen.looks_again()
            assert seen.count == 0
            for change in (
                lambda: (tmp_path / "b.yml").write_text("b: 1\n"),
                lambda: (tmp_path / "a.yaml").write_text("a: 22\n"),
                (tmp_path / "b.yml").unlink,
            ):
                change()
                await seen.next()

    asyncio.run(scene())


def test_a_folder_that_is_emptied_or_goes_is_no_change_until_it_is_back(tmp_path):
    where = tmp_path / "conf.d"

    def fill(text):
        where.mkdir(exist_ok=True)
        (where / "a.yaml").write_text(text)

    fill("a: 1\n")

    async def scene():
        async with watching(folder(where, (".yaml",))) as seen:
            (where / "a.yaml").unlink()
            await seen.looks_again()
            shutil.rmtree(where)
            await seen.looks_again()
            assert seen.count == 0
            fill("a: 22\n")
            await seen.next()

    asyncio.run(scene())


def test_a_folder_of_models_goes_by_names(tmp_path):
    (tmp_path / "a.gguf").write_text("x")

    async def scene():
        async with watching(folder(tmp_path, (".gguf",), contents=False)) as seen:
            (tmp_path / "a.gguf").write_text("xx")  # it is still being downloaded
            await seen.looks_again()
            assert seen.count == 0
            (tmp_path / "sub").mkdir()
            (tmp_path / "sub" / "B.GGUF").write_text("x")
            await seen.next()

    asyncio.run(scene())


def test_its_repr():
    assert repr(Watch([], period=2)) == "<Watch of 0, every 2 s>"

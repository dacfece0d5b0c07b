"""Bodies read and changed where they are: in memory, or on disk without holding the loop up."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.dialects.body import JSON, Asked
from corral.dialects.changes import Changes
from corral.dialects.paths import parse
from corral.errors import InvalidRequest, ModelRequired
from corral.gateway import rewriting
from corral.host.spool import Spool

CHANGES = Changes(
    "real", {"top_k": None, "top_p": b"0.9"}, {"kwargs": [(parse("think"), b"false")]}
)


def run(play):
    async def bounded():
        async with asyncio.timeout(30):
            return await play

    return asyncio.run(bounded())


async def on_disk(body, folder):
    spool = Spool(2**26, folder)
    for at in range(0, len(body), 2**18):
        await spool.feed(body[at : at + 2**18])
    return spool


def image(size):
    """A body with an image of `size` bytes between what changes."""
    head = b'{"model":"a","top_k":4,"image":"'
    return head + b"QUJD" * (size // 4) + b'","kwargs":{"think":true},"stream":true}'


def test_nothing_changes_without_changes(tmp_path):
    async def play():
        spool = await on_disk(b"{}", tmp_path)
        for changes in (None, Changes()):
            assert await rewriting.rewritten(b"{}", JSON, changes) == b"{}"
            assert await rewriting.rewritten(spool, JSON, changes) is spool
        gone = Changes(fixed={"top_k": None})
        assert await rewriting.rewritten(spool, JSON, gone) is spool

    run(play())


def test_the_same_in_memory_and_on_disk(tmp_path):
    async def play():
        body = image(5 * 2**20)
        spool = await on_disk(body, tmp_path)
        assert await rewriting.asked(spool, JSON, None) == Asked("a", stream=True)
        changed = await rewriting.rewritten(spool, JSON, CHANGES)
        for _ in range(2):  # a retry on a fresh connection reads it again
            sent = b"".join([piece async for piece in changed.chunks()])
            assert len(sent) == changed.size
            whole = await rewriting.rewritten(body, JSON, CHANGES)
            assert json.loads(sent) == json.loads(whole)
        assert json.loads(sent)["kwargs"] == {"think": False}

    run(play())


def test_the_loop_goes_on_turning_while_a_long_body_is_read(tmp_path):
    """Eight MiB take their time; somebody else gets a turn for every slice of it."""

    async def play():
        spool, turns = await on_disk(image(8 * 2**20), tmp_path), 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others(), name="others")
        await rewriting.rewritten(spool, JSON, CHANGES)
        task.cancel()
        assert turns >= 8 * 2**20 // rewriting.SLICE

    run(play())


@pytest.mark.parametrize("body", [b"[]", b'{"model":"a"', b'{"kwargs":{broken},"model":"a"}'])
def test_what_cannot_be_read_is_said_so(tmp_path, body):
    async def play():
        for where in (body, await on_disk(body, tmp_path)):
            with pytest.raises(InvalidRequest):
                await rewriting.rewritten(where, JSON, CHANGES)

    run(play())


def test_no_name(tmp_path):
    async def play():
        for where in (b"{}", await on_disk(b"{}", tmp_path)):
            with pytest.raises(ModelRequired):
                await rewriting.asked(where, JSON, None)
            assert (await rewriting.asked(where, JSON, "b")).model == "b"

    run(play())

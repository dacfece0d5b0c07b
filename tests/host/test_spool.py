"""Bodies on disk."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from pathlib import Path

import pytest

from corral.errors import BodyTooLarge, CorralError
from corral.host.spool import PIECE, Spool


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17])
@pytest.mark.parametrize("step", [1000, PIECE // 2, 5 * PIECE])
def test_what_was_fed_is_read_as_often_as_asked(tmp_path, size, step):
    text = os.urandom(size)

    async def scene():
        spool = Spool(limit=size, folder=tmp_path)
        for start in range(0, size, step):
            await spool.feed(text[start : start + step])
        assert spool.size == size
        for _ in range(2):
            assert b"".join([piece async for piece in spool.chunks()]) == text
        both = await asyncio.gather(collected(spool), collected(spool))
        assert both == [text, text]
        spool.close()

    asyncio.run(scene())
    assert list(tmp_path.iterdir()) == []


def test_one_byte_too_many(tmp_path):
    async def scene():
        spool = Spool(limit=10, folder=tmp_path)
        await spool.feed(b"x" * 10)
        with pytest.raises(BodyTooLarge, match=r"larger than 10 bytes; raise `maxBody`"):
            await spool.feed(b"x")

    asyncio.run(scene())


def test_it_has_no_name_and_a_forgotten_one_is_closed(tmp_path):
    async def scene():
        spool = Spool(limit=PIECE, folder=tmp_path)
        await spool.feed(b"x" * PIECE)
        assert list(tmp_path.iterdir()) == []
        return spool._file  # white box: that the file is closed shows nowhere else

    file = asyncio.run(scene())
    gc.collect()
    assert file.closed


def test_at_most_a_piece_is_in_memory(tmp_path):
    async def scene():
        spool = Spool(limit=100 * PIECE, folder=tmp_path)
        for _ in range(10 * 16 + 3):
            await spool.feed(b"x" * (PIECE // 16))
        assert len(spool._held) < PIECE  # white box: as above
        assert repr(spool) == f"<Spool {spool.size}/{100 * PIECE} bytes>"
        assert max([len(piece) async for piece in spool.chunks()]) <= PIECE
        spool.close()

    asyncio.run(scene())


async def collected(spool: Spool) -> bytes:
    return b"".join([piece async for piece in spool.chunks()])


def test_a_folder_that_cannot_have_files_is_told(tmp_path):
    with pytest.raises(CorralError, match="cannot be kept on disk: No such file or directory"):
        Spool(limit=10, folder=tmp_path / "gone")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is full")
def test_a_full_disk_is_told_and_the_file_let_go(monkeypatch):
    files = []

    def full(**_):
        files.append(os.fdopen(os.open("/dev/full", os.O_RDWR), "w+b"))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", full)

    async def scene():
        spool = Spool(limit=3 * PIECE)
        with pytest.raises(CorralError, match="cannot be kept on disk: No space left on device"):
            await spool.feed(b"x" * PIECE)
        spool.close()
        assert files[0].closed

    asyncio.run(scene())

"""The ring and its followers."""

from __future__ import annotations

import asyncio
import gc

import pytest

from corral.host.logs import FOLLOWER_BYTES, Ring


def test_the_newest_bytes_stay_whatever_the_pieces():
    text = bytes(range(256)) * 4
    for size in (1, 7, 100, 1024):
        ring = Ring(limit=100)
        for start in range(0, len(text), size):
            ring.write(text[start : start + size])
        assert ring.history() == text[-100:]
        assert ring.total == len(text)


def test_a_full_ring_lets_go_of_the_oldest_bytes_only():
    ring = Ring(limit=10)
    for piece in (b"abcd", b"efgh", b"ijkl"):
        ring.write(piece)
    assert ring.history() == b"cdefghijkl"


@pytest.mark.parametrize(
    ("written", "lines", "tail"),
    [
        (b"", 5, ()),
        (b"one\ntwo\nthree\n", 2, ("two", "three")),
        (b"one\n\n  \ntwo", 5, ("one", "two")),
        (b"progress 1%\rprogress 2%\r\ndone", 5, ("progress 1%", "progress 2%", "done")),
        (b"\xff\xfe bad\n", 1, ("\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} bad",)),
        (b"one\n", 0, ()),
    ],
)
def test_the_tail_is_lines_for_people(written, lines, tail):
    ring = Ring()
    ring.write(written)
    assert ring.tail(lines) == tail


def test_the_tail_since_a_mark_leaves_out_what_came_before():
    ring = Ring(limit=20)
    ring.write(b"before\n")
    mark = ring.total
    assert ring.tail(5, since=mark) == ()
    ring.write(b"after\n")
    assert ring.tail(5, since=mark) == ("after",)
    ring.write(b"x" * 30)
    assert ring.tail(5, since=mark) == ("x" * 20,)


def test_a_follower_gets_what_comes_from_its_call_on_and_ends_with_the_ring():
    async def scene():
        ring = Ring()
        ring.write(b"early")
        follower = ring.follow()
        ring.write(b"one")
        ring.write(b"")
        waiting = asyncio.gather(*[collected(follower), collected(ring.follow())])
        await asyncio.sleep(0)
        ring.write(b"two")
        ring.close()
        ring.write(b"late")
        assert await waiting == [[b"one", b"two"], [b"two"]]
        assert await collected(ring.follow()) == []
        assert ring.history() == b"earlyonetwo"

    asyncio.run(scene())


def test_a_slow_follower_loses_the_oldest_and_is_told_how_much():
    async def scene():
        ring = Ring()
        follower = ring.follow()
        pieces = [b"%08d" % n * 128 for n in range(400)]
        for piece in pieces:
            ring.write(piece)
        ring.close()
        notice, *kept = await collected(follower)
        lost = len(b"".join(pieces)) - len(b"".join(kept))
        assert notice == b"\n[corral: %d bytes of output left out for a slow reader]\n" % lost
        assert kept == pieces[-len(kept) :]
        assert len(b"".join(kept)) <= FOLLOWER_BYTES

    asyncio.run(scene())


def test_a_follower_that_nobody_holds_is_forgotten():
    ring = Ring()
    follower = ring.follow()
    assert repr(ring) == "<Ring 0/102400 bytes, 1 following>"
    del follower
    gc.collect()
    assert repr(ring) == "<Ring 0/102400 bytes, 0 following>"


async def collected(follower) -> list[bytes]:
    return [piece async for piece in follower]

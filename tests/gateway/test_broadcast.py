"""One stream, many readers: what a slow one costs, and how it catches up."""

from __future__ import annotations

import asyncio

from corral.gateway.broadcast import Broadcast, Reader


def reader(snapshot=lambda: b"fresh", limit=10, every=60.0):
    return Reader(snapshot, b"beat", limit=limit, every=every)


async def all_of(reader):
    return [message async for message in reader]


def test_every_reader_reads_everything_in_order(run):
    async def scene():
        broadcast, readers = Broadcast(), [reader(), reader()]
        for one in readers:
            broadcast.join(one)
        for message in (b"1", b"2", b"3"):
            broadcast.publish(message)
        for one in readers:
            one.end()
            assert await all_of(one) == [b"1", b"2", b"3"]

    run(scene())


def test_a_reader_waits_for_what_comes(run):
    async def scene():
        one = reader()
        reading = asyncio.create_task(all_of(one))
        for message in (b"1", b"2"):
            await asyncio.sleep(0)
            one.feed(message)
        await asyncio.sleep(0)
        one.end()
        assert await reading == [b"1", b"2"]

    run(scene())


def test_a_slow_reader_goes_on_with_a_snapshot_of_when_it_reads_on(run):
    async def scene():
        made = []

        def snapshot():
            made.append(len(made))
            return b"snapshot %d" % made[-1]

        one = reader(snapshot)
        for message in (b"123456", b"7890", b"too much", b"later"):
            one.feed(message)
        assert made == []  # it is made when it is wanted
        assert await anext(one) == b"snapshot 0"
        one.end()
        assert await all_of(one) == [b"later"]

    run(scene())


def test_a_reader_who_never_reads_costs_no_more_than_the_limit(run):
    async def scene():
        one = reader(limit=1000)
        held = set()
        for _ in range(100):
            one.feed(b"x" * 99)
            held.add(repr(one))
        assert held == {f"<Reader {99 * n}/1000 bytes unread>" for n in range(11)}

    run(scene())


def test_a_message_over_the_limit_is_still_read_by_who_has_nothing_else(run):
    async def scene():
        one = reader()
        one.feed(b"x" * 100)
        one.end()
        assert await all_of(one) == [b"x" * 100]

    run(scene())


def test_silence_is_broken_by_a_heartbeat(run):
    async def scene():
        one = reader(every=0.001)
        assert [await anext(one), await anext(one)] == [b"beat", b"beat"]
        one.feed(b"news")
        assert await anext(one) == b"news"

    run(scene())


def test_who_has_left_is_fed_no_more(run):
    async def scene():
        broadcast, one = Broadcast(), reader()
        broadcast.join(one)
        broadcast.leave(one)
        broadcast.leave(one)
        broadcast.publish(b"1")
        one.end()
        assert (await all_of(one), len(broadcast)) == ([], 0)

    run(scene())

"""What keeping conversations costs: a store of many messages is opened, and a turn is read and written on it.

    python bench/conversations.py [--messages 100000] [--turns 200] [--folder FOLDER]

Once with all messages in one session, once with 100 in each. A turn is what the store does for one: its head, the newest messages (60 000
characters), whether it can be written, and then the question and the answer, synced to the disk. Medians, the slowest of 20 behind them; `busy` is with a loop that
has always something else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

import uvloop

from corral.host.conversations import Conversations
from corral.host.storage import Storage
from corral.sessions.record import Head, Record

TEXT = "The quick brown fox jumps over the lazy dog. " * 9
"""About what people and models say at a time: 405 characters."""
PROMPT = 60_000
"""Characters of a prompt."""


def record(n: int) -> Record:
    role = ("user", "assistant")[n % 2]
    message = {"role": role, "content": f"{n} {TEXT}"}
    return Record(message, n.to_bytes(16, "big"), len(TEXT), 1.0, "qwen")


async def filled(path: Path, messages: int, each: int) -> None:
    async with Storage(path) as stored:
        store = Conversations(stored)
        for first in range(0, messages, each):
            name = f"s{first // each}"
            records = [record(n) for n in range(each)]
            await store.append(name, 0, records, {}, Head(name, 1.0, float(first)))


async def timed(times: list[float], work: Awaitable[object]) -> object:
    begin = time.perf_counter()
    found = await work
    times.append(1000 * (time.perf_counter() - begin))
    return found


def told(what: str, times: list[float]) -> None:
    slow = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(f"{what:<44} {median(times):8.2f} ms {slow:8.2f} ms")


async def opening(path: Path) -> None:
    times: list[float] = []

    async def first() -> None:
        async with Storage(path) as stored:
            assert await Conversations(stored).head("s0")

    for _ in range(10):
        await timed(times, first())
    told("open, ask for a head, close", times)


async def turns(
    path: Path, count: int, busy: Callable[[], contextlib.AbstractContextManager]
) -> None:
    parts: dict[str, list[float]] = {"head": [], "newest": [], "begin": [], "append": []}
    whole: list[float] = []
    async with Storage(path) as stored:
        store = Conversations(stored)
        with busy():
            for _ in range(count):
                await timed(whole, turn(store, parts))
        assert not store.trouble
    for part, times in {**parts, "a turn": whole}.items():
        told(f"  {part}" if part in parts else part, times)


async def turn(store: Conversations, parts: dict[str, list[float]]) -> None:
    head = await timed(parts["head"], store.head("s0"))
    await timed(parts["newest"], store.newest("s0", PROMPT, 10_000))
    await timed(parts["begin"], store.begin(head))
    new = [record(head.messages), record(head.messages + 1)]
    await timed(parts["append"], store.append("s0", head.messages, new, {}, head))


@contextlib.contextmanager
def idle() -> Iterator[None]:
    yield


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """The loop works for a fifth of a millisecond at a time, and is never out of work."""

    async def work() -> None:
        while True:
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    working = asyncio.get_running_loop().create_task(work(), name="work")
    try:
        yield
    finally:
        working.cancel()


async def rare(path: Path) -> None:
    """What is done once in a while, to the session `s0`."""
    async with Storage(path) as stored:
        store, messages = Conversations(stored), (await Conversations(stored).head("s0")).messages
        for what, work in (
            ("all digests", store.digests("s0")),
            ("a fork of all of it", store.fork("s0", "fork", messages)),
            ("the second half cut off", store.cut("s0", messages // 2, "cut")),
            ("a fork deleted", store.delete("fork")),
            ("the first page of sessions", store.page(50, 0)),
        ):
            times: list[float] = []
            await timed(times, work)
            told(what, times)


def commits(path: Path) -> None:
    """SQLite by itself."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (text)")
        for level in ("NORMAL", "FULL"):
            connection.execute(f"PRAGMA synchronous = {level}")
            times = []
            for _ in range(300):
                begin = time.perf_counter()
                with connection:
                    connection.execute("INSERT INTO t VALUES (?)", (TEXT,))
                times.append(1000 * (time.perf_counter() - begin))
            told(f"a commit, synchronous = {level}", times)


async def measure(folder: Path, messages: int, count: int) -> None:
    for each in (messages, 100):
        path = folder / f"{each}.db"
        begin = time.perf_counter()
        await filled(path, messages, each)
        print(
            f"\n{messages} messages, {each} in a session: {time.perf_counter() - begin:.1f} s to write, "
            f"{path.stat().st_size >> 20} MiB"
        )
        await opening(path)
        await turns(path, count, idle)
        print("busy:")
        await turns(path, count, busy)
        await rare(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument(
        "--folder", type=Path, help="where the files are made; else the temporary folder"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        commits(Path(folder) / "commits.db")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(Path(folder), given.messages, given.turns))


if __name__ == "__main__":
    main()

"""A program that writes conversations is killed at any moment: all it was told of is there, and nothing is there by half.

Run by itself this file is that program: `FILE FIRST` does the deeds from number FIRST on, and prints each one's number when it is done.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from corral.host import storage
from corral.host.conversations import Conversations
from corral.host.storage import Storage
from corral.sessions.record import Head, Record


def deed(n):
    """What is done as number `n`: its kind and the session that it makes or takes away, if it does."""
    kinds = {5: ("delete", f"fork{n - 8}"), 7: ("fork", f"fork{n}"), 9: ("cut", f"cut{n}")}
    return kinds.get(n % 10, ("append", ""))


def turn(n):
    text = "x" * (20_000 if n % 4 == 0 else 20)
    return [
        Record({"role": role, "content": text}, b"%d %d" % (n, i), len(text))
        for i, role in enumerate(("user", "assistant"))
    ]


async def do(store, n):
    kind, name = deed(n)
    if kind == "append":
        trouble = await store.append("s", 0, turn(n), {f"{n}": b"x" * 3000}, Head("s", 1.0, 2.0))
        assert not trouble, trouble
    elif kind == "fork":
        assert await store.fork("s", name, 4)
    elif kind == "cut":
        await store.cut("s", 3, name)
    else:
        await store.delete(name)


def after(state, n):
    """The digests of every session's messages, as they are when number `n` is done too."""
    kind, name = deed(n)
    own = state.get("s", [])
    match kind:
        case "append":
            return {**state, "s": [*own, *(record.digest for record in turn(n))]}
        case "fork":
            return {**state, name: own[:4]}
        case "cut":
            return {**state, name: own, "s": own[:3]}
        case _:
            return {session: digests for session, digests in state.items() if session != name}


async def write(path, first):
    async with Storage(path) as stored:
        store = Conversations(stored)
        for n in count(first):
            await do(store, n)
            print(n, flush=True)


async def read(path):
    """What is in the file, looked at in every way."""
    async with Storage(path) as stored:
        store = Conversations(stored)
        _, heads = await store.page(10_000, 0)
        found = {}
        for head in heads:
            digests = await store.digests(head.session_id)
            records = await store.messages(head.session_id, 0, 10_000)
            assert [record.digest for record in records] == digests
            assert head.messages == len(digests)
            assert all(len(record.message["content"]) == record.size for record in records)
            found[head.session_id] = digests
        sound = await stored.ask(lambda c: c.execute("PRAGMA integrity_check").fetchall(), [])
        assert sound == [("ok",)]
        return found


def killed(path, first, deeds):
    """The numbers that were told as done before the end."""
    command = [sys.executable, __file__, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        told = [writer.stdout.readline() for _ in range(deeds)]
        writer.kill()
        told += writer.stdout.readlines()
    assert "" not in told, "it ended by itself"
    return [int(line) for line in told if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(2))
def test_all_that_was_told_is_there_and_nothing_by_half(tmp_path, seed):
    path, chance = tmp_path / "corral.db", random.Random(seed)
    state, first = {}, 1
    for _ in range(4):
        told = killed(path, first, chance.randint(1, 40))
        assert told == list(range(first, first + len(told)))
        for n in told:
            state = after(state, n)
        first += len(told)
        found = asyncio.run(read(path))
        if found != state:  # one more was done, and not told any more
            state = after(state, first)
            first += 1
        assert found == state
    assert not list(tmp_path.glob("*.unreadable"))


if __name__ == "__main__":
    storage.PATIENCE = 60.0
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))

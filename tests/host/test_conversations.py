"""Conversations in a real database: what is written is read again, as it was."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.gateway.stores import Conversations as Port
from corral.host import conversations as module
from corral.host import storage
from corral.host.columns import UNREADABLE
from corral.host.conversations import Conversations
from corral.host.storage import Storage
from corral.sessions.record import Head, Record

ALL = 10**9


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """How fast this disk is, is not what is tested."""
    monkeypatch.setattr(storage, "PATIENCE", 60.0)


def user(text, at=1.0):
    return Record({"role": "user", "content": text}, text.encode("utf-8", "replace"), len(text), at)


def said(text, **more):
    message = {"role": "assistant", "content": text}
    return Record(message, text.encode(), len(text), 2.0, "qwen", **more)


def head(session_id="s", **more):
    return Head(session_id, **{"created_at": 1.0, "updated_at": 2.0, **more})


def run(play, path=None):
    """What `play` returns, called with a store in this file, or in memory."""

    async def scene():
        async with Storage(path) as stored:
            return await play(Conversations(stored))

    return asyncio.run(scene())


def edited(path, *statements):
    """Somebody writes to the file by hand."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def everything(session_id="s"):
    async def play(store):
        return await store.head(session_id), await store.messages(session_id, 0, ALL)

    return play


# --- turns --------------------------------------------------------------------------------------


def test_a_turn_is_there_after_a_restart(tmp_path):
    turn = [
        user("hello"),
        said(
            "hi",
            prompt_tokens=9,
            answer_tokens=2,
            prompt_from=1,
            partial=True,
            response_id="resp_1",
        ),
    ]
    first = head(
        model="qwen",
        preset="pirate",
        system=({"role": "system", "content": "Be brief."},),
        forked_from="t",
        forked_at=3,
        metadata={"title": "Hello"},
    )

    async def write(store):
        assert await store.head("s") is None
        assert await store.append("s", 0, turn, {}, first) == ""
        assert store.trouble == ""

    run(write, tmp_path / "corral.db")
    assert run(everything(), tmp_path / "corral.db") == (replace(first, messages=2), turn)


def test_a_turn_changes_who_said_what_and_when_and_nothing_that_people_set():
    system = ({"role": "system", "content": "x"},)

    async def play(store):
        await store.begin(head(preset="pirate", metadata={"title": "one"}))
        await store.append("s", 0, [user("a")], {}, head(updated_at=5.0, model="m", system=system))
        await store.begin(head(created_at=4.0, updated_at=7.0, preset="cook", model="other"))
        await store.append("s", 1, [], {}, head(updated_at=8.0))
        return await store.head("s")

    made = head(preset="pirate", metadata={"title": "one"}, messages=1)
    assert run(play) == replace(made, updated_at=8.0, model="m", system=system)


def test_what_was_begun_is_undone_unless_something_was_said():
    async def play(store):
        await store.begin(head())
        await store.begin(head("t"))
        await store.append("t", 0, [user("a")], {}, head("t"))
        assert [await store.undo(name) for name in "stx"] == [True, False, False]
        assert await store.head("s") is None
        return (await store.head("t")).messages

    assert run(play) == 1


def test_turns_follow_each_other():
    async def play(store):
        for n in range(0, 20, 2):
            await store.append("s", n, [user(f"{n}"), said(f"{n + 1}")], {}, head())
        assert (await store.head("s")).messages == 20
        assert await store.digests("s") == [b"%d" % n for n in range(20)]
        part = await store.messages("s", 5, 3)
        assert [record.message["content"] for record in part] == ["5", "6", "7"]
        assert await store.messages("s", 20, 3) == []

    run(play)


@pytest.mark.parametrize("after", [0, 1, 3, 100])
def test_messages_are_numbered_on_whatever_the_writer_believes(after):
    async def play(store):
        await store.append("s", 0, [user("a"), said("b")], {}, head())
        await store.append("s", after, [user("c")], {}, head())
        return await store.digests("s")

    assert run(play) == [b"a", b"b", b"c"]


def test_an_answer_to_a_session_that_was_deleted_meanwhile_makes_it_anew():
    async def play(store):
        await store.append("s", 0, [user("a")], {}, head())
        await store.delete("s")
        await store.append("s", 1, [said("b")], {}, head(model="cook"))
        return await store.head("s")

    assert run(play) == head(model="cook", messages=1)


def test_nothing_of_a_session_that_is_none():
    async def play(store):
        assert await store.head("x") is None
        assert await store.newest("x", 9, 9) == []
        assert await store.digests("x") == []
        assert await store.messages("x", 0, 9) == []
        assert await store.by_response("x") is None
        assert await store.by_response("") is None
        assert await store.blobs(["x"]) == {}
        assert not await store.fork("x", "y", 1)
        await store.cut("x", 0, "y")
        assert not await store.patch(head("x"))
        assert not await store.delete("x")
        assert await store.expire(1e12) == 0
        assert await store.page(9, 0) == (0, [])

    run(play)


# --- the newest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        (0, 9, ""),
        (1, 9, "ddd"),
        (3, 9, "ddd"),
        (4, 9, "cc ddd"),
        (5, 9, "cc ddd"),
        (6, 9, "b cc ddd"),
        (99, 9, "a b cc ddd"),
        (99, 2, "cc ddd"),
        (99, 0, ""),
        (99, -1, ""),
    ],
)
def test_the_newest_hold_as_much_as_is_asked_for(size, count, expected):
    async def play(store):
        await store.append("t", 0, [user("other")], {}, head("t"))
        await store.append("s", 0, [user(text) for text in ("a", "b", "cc", "ddd")], {}, head())
        return await store.newest("s", size, count)

    assert " ".join(record.message["content"] for record in run(play)) == expected


def test_a_hundred_thousand_messages(tmp_path):
    many = [user(f"message {n}") for n in range(100_000)]

    async def play(store):
        assert await store.append("s", 0, many, {}, head()) == ""
        assert (await store.head("s")).messages == len(many)
        assert await store.newest("s", 60, ALL) == many[-5:]
        assert await store.digests("s") == [record.digest for record in many]
        assert await store.append("s", len(many), [user("z")], {}, head()) == ""
        assert await store.newest("s", 1, 1) == [user("z")]

    run(play, tmp_path / "corral.db")


# --- whatever is said ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "\ud800 alone, and \0, and \u2028, and 🐎"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"x": []}}]},
        {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "x", "n": 1e300}]},
        {"role": "user", "content": "x", "\ud83d": {"\udc00": "\udfff"}, "big": 2**80},
        {},
    ],
    ids=repr,
)
def test_any_message_comes_back_as_it_was(tmp_path, message):
    record = Record(message, b"\x00\xff", 1)

    async def write(store):
        assert await store.append("s", 0, [record], {}, head()) == ""

    run(write, tmp_path / "corral.db")
    assert run(everything(), tmp_path / "corral.db")[1] == [record]


def test_a_huge_message(tmp_path):
    huge = user("x" * 10_000_000)

    async def play(store):
        assert await store.append("s", 0, [huge, user("y")], {}, head()) == ""
        return await store.newest("s", 10**7, 9)

    assert run(play, tmp_path / "corral.db")[0] == huge


def test_names_that_are_no_unicode():
    """Such a session is found again, under a name that can be written."""

    async def play(store):
        await store.append("\ud800", 0, [said("a", response_id="\ud801")], {}, head("\ud800"))
        await store.append("a\0b", 0, [user("b")], {}, head("a\0b"))
        found = await store.head("\ud800")
        assert (found.session_id, found.messages) == ("\\ud800", 1)
        assert await store.by_response("\ud801") == ("\\ud800", 1)
        assert (await store.head("a\0b")).session_id == "a\0b"
        assert await store.head("a") is None

    run(play)


# --- branches -----------------------------------------------------------------------------------


def chain(store):
    records = [
        record
        for n in range(3)
        for record in (user(f"q{n}"), said(f"a{n}", response_id=f"resp_{n}"))
    ]
    first = head(preset="cook", system=({"role": "system", "content": "x"},), model="qwen")
    return store.append("s", 0, records, {"hash": b"bytes"}, first)


def test_a_fork_has_the_beginning_and_the_head():
    async def play(store):
        await chain(store)
        assert await store.fork("s", "t", 2)
        old, new = await store.head("s"), await store.head("t")
        assert old.messages == 6
        assert (new.messages, new.forked_from, new.forked_at) == (2, "s", 2)
        assert (new.preset, new.system, new.model) == (old.preset, old.system, "qwen")
        assert new.updated_at > old.updated_at
        assert await store.digests("t") == [b"q0", b"a0"]
        assert not await store.fork("s", "t", 4)  # there is one already
        assert await store.digests("t") == [b"q0", b"a0"]

    run(play)


def test_a_fork_behind_the_end_is_a_copy():
    async def play(store):
        await chain(store)
        assert await store.fork("s", "t", 99)
        return await store.head("t"), await store.digests("t") == await store.digests("s")

    copy, same = run(play)
    assert (copy.messages, copy.forked_at, same) == (6, 6, True)


def test_what_is_cut_off_stays_as_another_session():
    async def play(store):
        await chain(store)
        await store.cut("s", 3, "old")
        assert await store.digests("s") == [b"q0", b"a0", b"q1"]
        assert await store.digests("old") == [b"q0", b"a0", b"q1", b"a1", b"q2", b"a2"]
        kept = await store.head("old")
        assert (kept.forked_from, kept.forked_at, kept.updated_at) == ("s", 3, 2.0)
        await store.cut("s", 3, "older")  # there is nothing to cut off
        assert await store.head("older") is None
        await store.cut("s", 0, "old")  # nor a place to keep it
        assert (await store.head("s")).messages == 3

    run(play)


def test_an_answer_is_found_by_its_id_where_it_was_given():
    async def play(store):
        await chain(store)
        await store.fork("s", "t", 4)
        assert await store.by_response("resp_1") == ("s", 4)
        await store.cut("s", 3, "old")
        assert await store.by_response("resp_0") == ("s", 2)
        assert await store.by_response("resp_1") == ("old", 4)
        assert await store.by_response("resp_2") == ("old", 6)
        await store.delete("s")
        await store.delete("old")
        assert await store.by_response("resp_1") == ("t", 4)
        assert await store.by_response("resp_2") is None

    run(play)


def test_a_blob_stays_as_long_as_a_session_that_used_it():
    async def play(store):
        await chain(store)
        await store.append("u", 0, [user("x")], {"hash": b"bytes", "own": b"1"}, head("u"))
        await store.fork("s", "t", 1)
        for session, there in (("u", True), ("s", True), ("t", False)):
            assert await store.delete(session)
            assert await store.blobs(["hash", "own"]) == ({"hash": b"bytes"} if there else {})

    run(play)


# --- heads --------------------------------------------------------------------------------------


def test_the_ones_used_last_come_first():
    async def play(store):
        for n in range(5):
            await store.begin(head(f"s{n}", updated_at=float(n)))
        await store.append("s1", 0, [user("x")], {}, head("s1", updated_at=9.0))
        total, found = await store.page(3, 1)
        assert (total, [one.session_id for one in found]) == (5, ["s4", "s3", "s2"])
        total, found = await store.page(1, 0)
        assert (total, found) == (5, [head("s1", updated_at=9.0, messages=1)])

    run(play)


def test_patching_leaves_the_messages_and_the_times():
    async def play(store):
        await chain(store)
        system = ({"role": "developer", "content": "y"},)
        patched = head(updated_at=99.0, preset="b", system=system, metadata={"title": "T"})
        assert await store.patch(patched)
        return await store.head("s")

    found = run(play)
    assert (found.preset, found.metadata, found.messages) == ("b", {"title": "T"}, 6)
    assert (found.updated_at, found.model, found.system[0]["content"]) == (2.0, "qwen", "y")


def test_what_has_not_been_used_for_long_goes(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2)

    async def play(store):
        for n in range(9):
            await store.append(f"s{n}", 0, [user("x")], {}, head(f"s{n}", updated_at=float(n)))
        assert await store.expire(7.0) == 7
        total, found = await store.page(9, 0)
        assert (total, [one.session_id for one in found]) == (2, ["s8", "s7"])
        assert await store.messages("s3", 0, 9) == []

    run(play)


def test_in_its_scope_a_store_expires_by_itself(tmp_path):
    async def play(store):
        await store.begin(head("old"))
        await store.begin(head("new", updated_at=4e9))
        async with store.kept(lambda: 3600.0):
            while await store.head("old"):  # noqa: ASYNC110 - it offers nothing to wait on
                await asyncio.sleep(0)
            assert await store.head("new")
        async with store.kept(lambda: 0.0):
            assert await store.head("new")

    run(play, tmp_path / "corral.db")


# --- by hand ------------------------------------------------------------------------------------


def test_a_message_that_cannot_be_read_says_so_and_the_others_stay(tmp_path):
    path = tmp_path / "corral.db"
    run(chain, path)
    edited(
        path,
        'UPDATE messages SET message = \'{"role": "user\', digest = 7 WHERE number = 1',
        "UPDATE messages SET message = x'ff00', size = 'long', at = 'noon' WHERE number = 2",
        "UPDATE messages SET message = '[1, 2]', model = CAST(x'ff' AS TEXT) WHERE number = 3",
        "UPDATE messages SET message = '{\"a\": \"\\ud800\"}', prompt_tokens = 'many' WHERE number = 4",
        "UPDATE messages SET response_id = 5, partial = 'yes' WHERE number = 5",
        "DELETE FROM messages WHERE number = 6",
    )
    found, records = run(everything(), path)
    assert found.messages == 5
    assert [record.message for record in records] == [
        {"role": "user", "content": UNREADABLE},
        {"role": "assistant", "content": UNREADABLE},
        {"role": "assistant", "content": UNREADABLE},
        {"a": "\ud800"},
        {"role": "user", "content": "q2"},
    ]
    assert [record.size for record in records[:2]] == [2, 0]
    assert (records[0].digest, records[1].at, records[3].prompt_tokens) == (b"", 0.0, None)
    assert records[4].response_id == "5"


def test_a_message_that_is_gone_leaves_its_number(tmp_path):
    path = tmp_path / "corral.db"
    run(chain, path)
    edited(path, "DELETE FROM messages WHERE number IN (1, 4)")

    async def play(store):
        assert await store.digests("s") == [b"", b"a0", b"q1", b"", b"q2", b"a2"]
        await store.append("s", 6, [user("next")], {}, head())
        assert (await store.head("s")).messages == 7

    run(play, path)


def test_a_head_that_cannot_be_read_is_an_empty_one(tmp_path):
    path = tmp_path / "corral.db"
    run(chain, path)
    edited(
        path,
        "UPDATE sessions SET created_at = 'x', updated_at = 'y', model = x'ff', preset = 3, "
        "system = '{', metadata = '[]', forked_at = 'z'",
    )
    found, _ = run(everything(), path)
    assert found == Head("s", 0.0, 0.0, "\ufffd", "3", (), 6)
    edited(
        path, 'UPDATE sessions SET system = \'[1, {"role": 2}]\', metadata = \'{"a": 1, "b": "c"}\''
    )
    found, _ = run(everything(), path)
    assert (found.system, found.metadata) == (({"role": 2},), {"b": "c"})


def test_its_words_are_its_state(tmp_path):
    path = tmp_path / "corral.db"

    async def play(store):
        return repr(store)

    assert run(play, path) == f"<Conversations in {path}, 0 unwritten>"


# --- whatever is done ---------------------------------------------------------------------------


@dataclass
class Model:
    """The same, in plain Python. A row is (its number of birth, its record)."""

    heads: dict[str, Head] = field(default_factory=dict)
    rows: dict[str, list[tuple[int, Record]]] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)
    births: itertools.count = field(default_factory=itertools.count)

    def put(self, given, records=(), blobs=()):
        there = self.heads.setdefault(given.session_id, given)
        said = {"model": given.model, "system": given.system} if records else {}
        self.heads[given.session_id] = replace(there, updated_at=given.updated_at, **said)
        rows = self.rows.setdefault(given.session_id, [])
        rows.extend((next(self.births), record) for record in records)
        self.uses.setdefault(given.session_id, set()).update(blobs)

    def head(self, name):
        return replace(self.heads[name], messages=len(self.rows[name]))

    def branch(self, name, new, at):
        old = self.heads[name]
        branched = replace(old, session_id=new, forked_from=name, forked_at=at, metadata={})
        self.put(branched, [record for _, record in self.rows[name][:at]], self.uses[name])

    def fork(self, name, new, at):
        if name not in self.heads or new in self.heads:
            return False
        self.branch(name, new, min(at, len(self.rows[name])))
        return True

    def cut(self, name, at, new):
        if name in self.heads and new not in self.heads and at < len(self.rows[name]):
            self.branch(name, new, at)
            self.rows[new] += self.rows[name][at:]
            del self.rows[name][at:]

    def delete(self, name):
        there = name in self.heads
        for table in (self.heads, self.rows, self.uses):
            table.pop(name, None)
        return there

    def answer(self, response_id):
        found = [
            (birth, name, number)
            for name, rows in self.rows.items()
            for number, (birth, record) in enumerate(rows, 1)
            if record.response_id == response_id
        ]
        return min(found)[1:] if found else None


names = st.sampled_from("abcd")
places = st.integers(0, 6)
blobs = st.dictionaries(st.sampled_from("xyz"), st.just(b"bytes"))
records = st.lists(st.builds(user, st.text(max_size=4)), max_size=3)
deeds = st.one_of(
    st.tuples(st.just("append"), names, records, blobs, st.floats(0, 9)),
    st.tuples(st.just("begin"), names, st.sampled_from(["", "p"]), st.floats(0, 9)),
    st.tuples(st.just("fork"), names, names, places),
    st.tuples(st.just("cut"), names, places, names),
    st.tuples(st.just("patch"), names, st.sampled_from(["", "q"])),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("undo"), names),
    st.tuples(st.just("expire"), st.floats(0, 9)),
    st.tuples(st.just("full"), st.booleans()),
)


async def done(deed, store, model, number, stored):
    """One of them, to both; `stored` is the database. Returns whether it is full from now on, None for as before."""
    match deed:
        case ("append", name, given, held, now):
            answer = said(f"{number}", response_id=f"r{number}")
            given = [*given, answer]
            await store.append(name, 0, given, held, head(name, updated_at=now))
            model.put(head(name, updated_at=now), given, held)
        case ("begin", name, preset, now):
            await store.begin(head(name, updated_at=now, preset=preset))
            model.put(head(name, updated_at=now, preset=preset))
        case ("full", yes):
            await stored.ask(lambda c: c.execute(f"PRAGMA query_only = {yes:d}") and None, None)
            return yes
        case _:
            return await _changed(deed, store, model)
    return None


async def _changed(deed, store, model):
    match deed:
        case ("fork", name, new, at):
            assert await store.fork(name, new, at) == model.fork(name, new, at)
            if made := await store.head(new):
                model.heads[new] = replace(made, messages=0)  # its times are the clock's
        case ("cut", name, at, new):
            await store.cut(name, at, new)
            model.cut(name, at, new)
        case ("patch", name, preset):
            patched = name in model.heads
            assert await store.patch(head(name, preset=preset)) == patched
            if patched:
                model.heads[name] = replace(
                    model.heads[name], preset=preset, system=(), metadata={}
                )
        case ("delete", name):
            assert await store.delete(name) == model.delete(name)
        case ("undo", name):
            empty = name in model.heads and not model.rows[name]
            assert await store.undo(name) == (empty and model.delete(name))
        case ("expire", before):
            gone = [name for name, one in model.heads.items() if one.updated_at < before]
            assert await store.expire(before) == len(gone)
            for name in gone:
                model.delete(name)


async def unchanged(deed, store):
    """What is no addition cannot be done to a database that cannot be written."""
    match deed:
        case ("fork", name, new, at):
            assert not await store.fork(name, new, at)
        case ("cut", name, at, new):
            await store.cut(name, at, new)
        case ("patch", name, preset):
            assert not await store.patch(head(name, preset=preset))
        case ("delete" | "undo" as what, name):
            assert not await getattr(store, what)(name)
        case ("expire", before):
            assert await store.expire(before) == 0


async def compare(store, model, *, full):
    for name in "abcd":
        if name not in model.heads:
            assert await store.head(name) is None
            assert await store.messages(name, 0, ALL) == []
            continue
        held = [record for _, record in model.rows[name]]
        assert await store.head(name) == model.head(name)
        assert await store.digests(name) == [record.digest for record in held]
        assert await store.messages(name, 1, 3) == held[1:4]
        assert await store.newest(name, ALL, 2) == held[-2:]
        newest = await store.newest(name, 5, ALL)
        assert newest == held[len(held) - len(newest) :]
        assert sum(record.size for record in newest[1:]) < 5
    used = set().union(*model.uses.values())
    assert set(await store.blobs("xyz")) == used
    if not full:
        total, listed = await store.page(9, 0)
        assert (total, {one.session_id for one in listed}) == (len(model.heads), set(model.heads))
        assert listed == sorted(listed, key=lambda one: -one.updated_at)


@settings(max_examples=100, deadline=None)
@given(st.lists(deeds, max_size=25))
def test_whatever_is_done_it_is_as_in_a_plain_model(sequence):
    async def scene():
        model, full = Model(), False
        async with Storage(None) as stored:
            store = Conversations(stored)
            for number, deed in enumerate(sequence):
                if full and deed[0] not in ("append", "begin", "full"):
                    await unchanged(deed, store)
                    continue
                changed = await done(deed, store, model, number, stored)
                if changed is False:
                    await store.expire(-1.0)  # the next write of any kind
                full = full if changed is None else changed
                await compare(store, model, full=full)
                answer = f"r{number}"
                assert await store.by_response(answer) == model.answer(answer)

    asyncio.run(scene())


def test_two_sessions_at_once_do_not_meet(tmp_path):
    async def play(store):
        async def talk(name):
            for n in range(0, 60, 2):
                turn = [user(f"{name}{n}"), said(f"{name}{n + 1}")]
                assert await store.append(name, n, turn, {}, head(name)) == ""

        await asyncio.gather(*(talk(name) for name in "abc"))
        for name in "abc":
            assert await store.digests(name) == [f"{name}{n}".encode() for n in range(60)]

    run(play, tmp_path / "corral.db")


def test_it_fits_the_port():
    """mypy says so where `app.py` introduces them; this is for who reads."""
    assert {name for name in vars(Port) if not name.startswith("_")} <= set(dir(Conversations))

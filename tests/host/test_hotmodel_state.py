"""hotmodel's file of sessions: taken over once, as far as it can be read, and never touched."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from corral.host import hotmodel_state
from corral.host.conversations import Conversations
from corral.host.hotmodel_state import read, take_over
from corral.host.storage import Storage
from corral.sessions.record import Head, Record

NOW = 1e9
HELLO = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
ONE = {"session_id": "one", "messages": HELLO, "created_at": 5.5, "updated_at": 7}


def filed(message):
    text = str(message["content"])
    return Record(message, text.encode("utf-8", "replace"), len(text)), {text: b"bytes"}


def taken(path, state, before=()):
    """What was said, and what is in the database then: `before` are the sessions that were there."""

    async def scene():
        async with Storage(path) as stored:
            store = Conversations(stored)
            for head in before:
                await store.begin(head)
            said = (await take_over(stored, state, filed)).text
            _, heads = await store.page(99, 0)
            found = {}
            for head in heads:
                records = await store.messages(head.session_id, 0, 99)
                found[head.session_id] = [record.message for record in records]
            return said, found

    return asyncio.run(scene())


@pytest.fixture
def state(tmp_path):
    """Writes the file, and returns its path."""

    def write(content):
        path = tmp_path / "state.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


# --- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        [ONE],
        {"one": ONE},
        {"sessions": [ONE]},
        {"sessions": {"one": ONE}},
        {"version": 1, "sessions": {"one": {**ONE, "session_id": None}}},
        {"one": {name: ONE[name] for name in ("messages", "created_at", "updated_at")}},
    ],
)
def test_every_shape_it_may_have(content):
    (found,) = read(json.dumps(content).encode(), NOW).sessions
    assert found.head == Head("one", 5.5, 7.0)
    assert found.messages == tuple(HELLO)


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (12, 12.0),
        ("2020-01-01T00:00:00+00:00", 1577836800.0),
        ("2020-01-01T00:00:00Z", 1577836800.0),
        ("noon", NOW),
        (None, NOW),
        ([], NOW),
        (10**400, NOW),
        ("99999-01-01", NOW),
    ],
)
def test_times(written, understood):
    content = json.dumps([{**ONE, "created_at": written, "updated_at": None}]).encode()
    (found,) = read(content, NOW).sessions
    assert (found.head.created_at, found.head.updated_at) == (understood, understood)


def test_a_leading_system_prompt_is_the_heads():
    system = {"role": "system", "content": "Be brief."}
    content = json.dumps([{**ONE, "messages": [system, *HELLO, system]}]).encode()
    (found,) = read(content, NOW).sessions
    assert found.head.system == (system,)
    assert found.messages == (*HELLO, system)


def test_what_is_none_costs_itself_alone():
    content = [
        ONE,
        {**ONE, "session_id": 7},
        {**ONE, "session_id": ""},
        {"session_id": "two", "messages": "hello"},
        "three",
        None,
        {"session_id": "four", "messages": [1, {"content": "x"}, {"role": 1}, *HELLO]},
    ]
    found = read(json.dumps(content).encode(), NOW)
    assert [one.head.session_id for one in found.sessions] == ["one", "four"]
    assert found.sessions[1].messages == tuple(HELLO)
    assert found.odd == 5 + 3


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"sessions": {}}', b' {"sessions": []}'])
def test_an_empty_one(content):
    assert read(content, NOW) == hotmodel_state.State((), 0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "this is no JSON"),
        (b'{"one": ', "this is no JSON"),
        (b"\xff\xfe", "this is no JSON"),
        (b"[" * 100_000, "this is no JSON"),
        (b"7", "there are no sessions in it"),
        (b"null", "there are no sessions in it"),
        (b'"text"', "there are no sessions in it"),
        (b'{"models": {"a": 1}}', "there are no sessions in it"),
        (b"[1, 2]", "there are no sessions in it"),
    ],
)
def test_a_file_with_nothing_of_the_kind(content, why):
    with pytest.raises(ValueError, match=why):
        read(content, NOW)


# --- taking over --------------------------------------------------------------------------------


def test_it_is_taken_over_once(tmp_path, state):
    database, path = tmp_path / "corral.db", state([ONE])
    before = path.read_bytes()
    said, found = taken(database, path)
    assert said == f"{path}: 1 conversations are taken over"
    assert found == {"one": HELLO}
    assert path.read_bytes() == before
    assert taken(database, path) == ("", found)


def test_what_was_deleted_does_not_come_back_with_the_next_start(tmp_path, state):
    database, path = tmp_path / "corral.db", state([ONE])
    taken(database, path)

    async def delete():
        async with Storage(database) as stored:
            assert await Conversations(stored).delete("one")

    asyncio.run(delete())
    assert taken(database, path) == ("", {})


def test_a_file_that_has_changed_is_looked_at_again(tmp_path, state):
    database = tmp_path / "corral.db"
    taken(database, state([ONE]))
    path = state([{**ONE, "messages": []}, {**ONE, "session_id": "two"}, "x"])
    said, found = taken(database, path)
    assert said == (
        f"{path}: 1 conversations are taken over, 1 were there already, "
        "1 things in it are neither a conversation nor a message"
    )
    assert found == {"one": HELLO, "two": HELLO}


def test_a_session_that_is_there_stays_as_it_is(tmp_path, state):
    said, found = taken(tmp_path / "corral.db", state([ONE]), [Head("one", 1.0, 2.0)])
    assert said.endswith("0 conversations are taken over, 1 were there already")
    assert found == {"one": []}


def test_a_file_that_is_not_there_is_nothing_to_speak_of(tmp_path, caplog):
    assert taken(tmp_path / "corral.db", tmp_path / "state.json") == ("", {})
    assert not caplog.records


@pytest.mark.parametrize("content", [b'{"one": ', b"7"])
def test_a_malformed_file_is_one_line(tmp_path, state, caplog, content):
    path = state(content)
    said, found = taken(tmp_path / "corral.db", path)
    assert found == {}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == said
    assert said.startswith(f"{path}: th")
    assert said.endswith("; its conversations are not taken over")
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_one_line(tmp_path, caplog):
    said, _ = taken(tmp_path / "corral.db", tmp_path)
    assert "its conversations are not taken over" in said
    assert len(caplog.records) == 1


def test_what_it_holds_has_its_time_and_its_blobs(tmp_path, state):
    path = state([{**ONE, "messages": [{"role": "user", "content": "\ud800"}]}, ONE])

    async def scene():
        async with Storage(tmp_path / "corral.db") as stored:
            store = Conversations(stored)
            take_over(stored, path, filed)  # who comes next finds it there
            (record,) = await store.messages("one", 0, 9)
            assert (record.at, record.message["content"]) == (7.0, "\ud800")
            assert await store.blobs(["\ud800"]) == {"\ud800": b"bytes"}

    asyncio.run(scene())


def test_a_database_in_memory_takes_it_over_too(state):
    said, found = taken(None, state([ONE]))
    assert said.endswith("1 conversations are taken over")
    assert found == {"one": HELLO}

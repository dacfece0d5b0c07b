"""Where conversations are kept: what the configuration says, from the file of the configuration to the file of the database."""

from __future__ import annotations

import asyncio
import json
import os
import stat

import pytest

from corral.app import opened
from corral.config.load import Source, load

MODELS = 'models: {m: {cmd: sleep 1, proxy: "http://127.0.0.1:9"}}\n'
STATE = {
    "one": {
        "session_id": "one",
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
        "created_at": 5.0,
        "updated_at": 4e9,
    }
}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a corral with this configuration, and returns what `play` does with its store."""
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        folder = tmp_path / variable
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(folder))

    def start(text, play):
        async def scene():
            config = load([Source("config.yaml", MODELS + text)], {})
            async with opened(config, tmp_path / "config.yaml") as gateway:
                return await play(gateway.conversations.store)

        return asyncio.run(scene())

    return start


async def sessions(store):
    total, heads = await store.page(99, 0)
    assert total == len(heads)
    return {head.session_id: head.messages for head in heads}


def test_in_corrals_own_place(started, tmp_path):
    async def play(store):
        assert await sessions(store) == {}
        assert store.trouble == ""

    started("", play)
    assert len(list((tmp_path / "XDG_STATE_HOME").rglob("corral.db"))) == 1


def test_in_a_file_of_ones_own(started, tmp_path):
    path = tmp_path / "kept" / "here" / "sessions.db"
    old = os.umask(0)
    try:
        started(f"sessions: {{store: {path}}}", sessions)
    finally:
        os.umask(old)
    assert path.is_file()
    if os.name == "posix":
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_hotmodels_conversations_are_taken_over_once(started, tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps(STATE))
    text = f"sessions: {{importState: {state}}}"

    async def delete(store):
        assert await sessions(store) == {"one": 2}
        assert [record.size for record in await store.messages("one", 0, 9)] == [9, 11]
        await store.delete("one")

    started(text, delete)
    assert started(text, sessions) == {}
    assert json.loads(state.read_text()) == STATE


def test_a_malformed_state_is_no_reason_not_to_start(started, tmp_path, capfd):
    state = tmp_path / "state.json"
    state.write_text("{")
    assert started(f"sessions: {{importState: {state}}}", sessions) == {}
    (line,) = [said for said in capfd.readouterr().out.splitlines() if str(state) in said]
    assert "this is no JSON" in line


def test_what_has_not_been_used_for_long_is_gone_at_start(started, tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps(STATE | {"two": {**STATE["one"], "session_id": "two"}}))
    state.write_text(state.read_text().replace("4000000000.0", "6.0", 1))

    async def play(store):
        while len(await sessions(store)) > 1:  # noqa: ASYNC110 - it offers nothing to wait on
            await asyncio.sleep(0)
        return await sessions(store)

    assert started(f"sessions: {{importState: {state}, ttl: 3600}}", play) == {"two": 2}

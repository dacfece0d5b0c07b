"""What corral remembers across restarts, and that it starts whatever became of its memory."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"

LEARNING = f"""
models:
  a: {{cmd: "{PYTHON}"}}
  b: {{cmd: "{PYTHON} GATE"}}
  c: {{cmd: "{PYTHON}"}}
matrix:
  sets: {{left: a & c, right: b & c, both: a & b}}
  evict_costs: auto
"""


CONFIG = LEARNING.replace("GATE", "")


def database(folder: Path) -> Path:
    (found,) = folder.glob("state/corral/*/corral.db")
    return found


def learned(folder: Path) -> dict[str, tuple[float, int]]:
    with contextlib.closing(sqlite3.connect(database(folder))) as connection:
        rows = connection.execute("SELECT model, seconds, samples FROM load_times")
        return {model: (seconds, samples) for model, seconds, samples in rows}


def pretend(folder: Path, **seconds: float) -> None:
    """As if the loads had taken that long."""
    with contextlib.closing(sqlite3.connect(database(folder))) as connection, connection:
        for model, value in seconds.items():
            connection.execute("UPDATE load_times SET seconds = ? WHERE model = ?", (value, model))


def load(house, *models: str) -> None:
    for model in models:
        answer = house.http.post(f"/api/models/load/{model}")
        assert answer.status_code == 200, answer.text


def test_what_was_learned_decides_after_a_restart(corral, tmp_path):
    """`c` fits beside either of the others: whoever loads faster makes room."""
    house = corral(CONFIG)
    load(house, "a", "b")
    assert house.stop() == 0
    assert {model: samples for model, (_, samples) in learned(tmp_path).items()} == {"a": 1, "b": 1}
    for dear, cheap in (("b", "a"), ("a", "b")):
        pretend(tmp_path, **{dear: 500.0, cheap: 1.0})
        house = corral(CONFIG)
        load(house, "a", "b")  # each in no time, which makes the dear one a little cheaper
        told = house.http.get("/api/explain?model=c").json()
        assert [victim["model"] for victim in told["victims"]] == [cheap]
        assert told["runner_up"]["cost"] > 100 > told["cost"]
        load(house, "c")
        assert house.running() == {dear, "c"}
        assert house.stop() == 0
        assert 100 < learned(tmp_path)[dear][0] < 500


def test_a_changed_command_is_learned_anew(corral, tmp_path):
    house = corral(CONFIG)
    load(house, "b")
    house.stop()
    house = corral(LEARNING.replace("GATE", f"--gate {ENGINE}"))
    load(house, "b")
    house.stop()
    with contextlib.closing(sqlite3.connect(database(tmp_path))) as connection:
        rows = connection.execute("SELECT model, samples FROM load_times").fetchall()
    assert rows == [("b", 1), ("b", 1)]


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_a_database_that_cannot_be_read_is_no_reason_not_to_start(corral, tmp_path, content):
    house = corral(CONFIG)
    load(house, "a")
    house.stop()
    database(tmp_path).write_bytes(content)
    house = corral(CONFIG)
    load(house, "a")
    assert house.stop() == 0
    assert ("a new one begins" in house.output) == bool(content)
    assert learned(tmp_path)["a"][1] == 1


def test_without_a_folder_for_its_state_corral_serves_and_says_so(corral, tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    house = corral(CONFIG, env={"XDG_STATE_HOME": str(blocked)})
    house.said("no folder for corral's state, nothing is kept across restarts: ")
    assert house.chat("a").status_code == 200
    assert house.chat("a", "x" * 5_000_000).status_code == 200  # a body for the disk

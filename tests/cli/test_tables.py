from __future__ import annotations

import io

import pytest
from rich.console import Console

from corral.cli import tables
from corral.cli.client import Departure, LoadFailure, ModelState


def drawn(table) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip(" ─")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0.4, "0s"), (8, "8s"), (59.6, "1m 0s"), (192, "3m 12s"), (7500, "2h 5m"), (90000, "1d 1h")],
)  # fmt: skip
def test_durations(seconds, text):
    assert tables.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 MiB"), (5 * 2**20, "5 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_sizes(count, text):
    assert tables.size(count) == text


def test_ps_shows_who_runs_where_and_for_how_long():
    model = ModelState(
        "chat", "ready", since=1000, in_flight=2, waiting=1, pid=77, port=10001,
        ttl_left=90, memory=2**30, shipped=True,
    )  # fmt: skip
    _, row = drawn(tables.ps([model], now=1010))
    assert row == [
        "chat",
        "ready",
        "10s",
        "2",
        "1",
        "77",
        "10001",
        "1.0",
        "GiB",
        "1m",
        "30s",
        "shipped",
    ]


def test_ps_leaves_out_what_is_not_known():
    _, row = drawn(tables.ps([ModelState("chat", "loading")], now=0))
    assert row == ["chat", "loading", "0", "0"]


def test_departures_are_told_of_those_that_are_gone_or_going():
    def left(state, why="idle for 60 s"):
        return ModelState(state, state, last_eviction=Departure(why, 100.0, "x"))

    states = ["unloaded", "ready", "loading", "draining", "unloading"]
    lines = tables.departures([*map(left, states), ModelState("never", "unloaded")], now=160.0)
    assert lines == [
        f"{state} left 1m 0s ago: idle for 60 s" for state in ("unloaded", "draining", "unloading")
    ]


def test_models_tells_why_a_load_failed():
    failed = LoadFailure("model_load_failed", "exit code 1: no such file")
    rows = drawn(
        tables.models(
            [
                ModelState("a", "ready", last_load_seconds=0.123, description="fast"),
                ModelState("b", "unloaded", last_failure=failed, description="not shown"),
                ModelState("c", "loading", last_failure=failed),
            ]
        )
    )
    assert rows[1:] == [
        ["a", "ready", "0.12s", "fast"],
        ["b", "failed", "exit", "code", "1:", "no", "such", "file"],
        ["c", "loading", "exit", "code", "1:", "no", "such", "file"],
    ]


def test_a_name_is_not_read_as_markup():
    _, row = drawn(tables.models([ModelState("[red]x[/oops]", "unloaded")]))
    assert row == ["[red]x[/oops]", "unloaded"]

"""Model states as tables for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from corral.cli.client import ModelState

PIPED_WIDTH = 240
"""Columns when stdout is no terminal: another program reads, so nothing is cut at 80."""

STYLES = {"ready": "green", "loading": "yellow", "draining": "yellow", "unloading": "yellow"}

UNITS = (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1))
"""Unit, the one below it, and what each is worth in seconds."""


def ps(models: Sequence[ModelState], now: float | None = None) -> Table:
    """What runs: since when, for whom, where, how long still. `now` in epoch seconds."""
    now = time.time() if now is None else now
    headings = ["MODEL", "STATE", "FOR", "BUSY", "WAITING", "PID", "PORT", "MEMORY", "UNLOADS IN"]
    return _table(
        [*headings, "ENGINE"],
        [
            (
                model,
                "" if model.since is None else duration(now - model.since),
                str(model.in_flight),
                str(model.waiting),
                "" if model.pid is None else str(model.pid),
                "" if model.port is None else str(model.port),
                "" if model.memory is None else size(model.memory),
                "" if model.ttl_left is None else duration(model.ttl_left),
                "shipped" if model.shipped else "",
            )
            for model in models
        ],
    )


def models(models: Sequence[ModelState]) -> Table:
    """What there is: its state, how long its last load took, what it is or why it failed."""
    return _table(
        ["MODEL", "STATE", "LAST LOAD", "ABOUT"],
        [
            (
                model,
                "" if model.last_load_seconds is None else f"{model.last_load_seconds:.2f}s",
                model.last_failure.message if model.last_failure else model.description,
            )
            for model in models
        ],
    )


def departures(models: Sequence[ModelState], now: float | None = None) -> list[str]:
    """A line for each model that is gone, or going, with the reason. `now` in epoch seconds."""
    now = time.time() if now is None else now
    return [
        f"{model.id} left {duration(now - left.at)} ago: {left.why}"
        for model in models
        if (left := model.last_eviction) and model.state not in ("ready", "loading")
    ]


def console() -> Console:
    """Stdout."""
    return Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)


def duration(seconds: float) -> str:
    """The two largest units: `3m 12s`, `2h 5m`; below a minute `8s`. Never negative."""
    whole = max(0, round(seconds))
    for large, small, worth, rest in UNITS:
        if whole >= worth:
            return f"{whole // worth}{large} {whole % worth // rest}{small}"
    return f"{whole}s"


def size(count: int) -> str:
    """Bytes as MiB or GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _table(headings: Sequence[str], rows: Sequence[tuple[ModelState, *tuple[str, ...]]]) -> Table:
    """Every row begins with the model's name and state. Text from the server is never read as markup."""
    made = Table(*headings, box=box.SIMPLE_HEAD, show_edge=False)
    for model, *cells in rows:
        texts = [Text(cell, overflow="fold") for cell in (model.id, _state(model), *cells)]
        made.add_row(*texts, style=STYLES.get(model.state, ""))
    return made


def _state(model: ModelState) -> str:
    return "failed" if model.state == "unloaded" and model.last_failure else model.state

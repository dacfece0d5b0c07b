"""The commands that ask a running corral: `ps`, `models`, `load`, `switch`, `unload`, `reload`, `logs`.

Answers go to stdout (with `as_json` what the server said, as it said it), everything else to stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from itertools import compress
from typing import Any

from corral.cli import explaining, loading, reloading, switching, tables
from corral.cli.client import Corral
from corral.cli.exits import answer, say

Act = Callable[[Corral], Coroutine[Any, Any, None]]


def ask(url: str, key: str, act: Act) -> None:
    """Run `act` with a client for the corral at `url`. Raises Failure."""

    async def within() -> None:
        async with Corral(url, key) as corral:
            await act(corral)

    asyncio.run(within())


def ps(*, as_json: bool) -> Act:
    """The models that are not unloaded, or that someone waits for; and for those that have left, why."""

    async def act(corral: Corral) -> None:
        states, raw = await corral.models()
        wanted = [state.state != "unloaded" or state.waiting > 0 for state in states]
        if as_json:
            answer_json(list(compress(raw, wanted)))
        elif any(wanted):
            tables.console().print(tables.ps(list(compress(states, wanted))))
        else:
            say("nothing is loaded; see `corral models` for what there is")
        if not as_json:
            for line in tables.departures(states):
                answer(line)

    return act


def models(*, as_json: bool) -> Act:
    """Every configured model."""

    async def act(corral: Corral) -> None:
        states, raw = await corral.models()
        if as_json:
            answer_json(raw)
        else:
            tables.console().print(tables.models(states))

    return act


def explain(model: str, *, as_json: bool) -> Act:
    """What would become of a request for a model, and why."""

    async def act(corral: Corral) -> None:
        told, raw = await corral.explain(model)
        if as_json:
            answer_json(raw)
        else:
            tables.console().print(explaining.page(told))

    return act


def load(model: str, *, as_json: bool) -> Act:
    """Load a model, showing progress."""

    async def act(corral: Corral) -> None:
        began = time.monotonic()
        report = await loading.load(corral, model)
        if as_json:
            answer_json(report)
        else:
            answer(f"{model} is ready ({time.monotonic() - began:.2f}s)")

    return act


def switch(model: str, *, as_json: bool) -> Act:
    """Make a model the active one, showing progress, and tell what that took."""

    async def act(corral: Corral) -> None:
        done, raw = await loading.watched(corral, model, corral.switch(model))
        if as_json:
            answer_json(raw)
            return
        for line in switching.lines(done):
            answer(line)

    return act


def unload(model: str, *, force: bool, as_json: bool) -> Act:
    """Unload a model, or all of them when `model` is empty."""

    async def act(corral: Corral) -> None:
        await corral.unload(model, force=force)
        if as_json:
            answer_json({"unloaded": model or "all"})
        else:
            answer(f"{model} is unloaded" if model else "everything is unloaded")

    return act


def reload(*, as_json: bool) -> Act:
    """Have the configuration read again, and tell what that changed."""

    async def act(corral: Corral) -> None:
        done, raw = await corral.reload()
        if as_json:
            answer_json(raw)
            return
        for line in reloading.lines(done):
            answer(line)

    return act


def logs(model: str, *, follow: bool) -> Act:
    """What was written by a model's server, or what corral prints when `model` is empty; with `follow` also what comes."""

    async def act(corral: Corral) -> None:
        if not follow:
            sys.stdout.write(await corral.log(model))
            return
        async for piece in corral.follow(model):
            sys.stdout.write(piece)
            sys.stdout.flush()

    return act


def answer_json(value: Any) -> None:
    """A value for machines, on stdout."""
    answer(json.dumps(value, indent=2, ensure_ascii=False))

"""`corral load` and `corral switch`: show what a model does until it is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.status import Status
from rich.text import Text

from corral.cli.client import Corral
from corral.cli.exits import Failure

T = TypeVar("T")

POLL = 0.3
"""Seconds between looks at the model's state."""


class Progress:
    """`chat-small: loading, 3.2s · last line of its log`, redrawn in place on a terminal; silent elsewhere."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._state = "asking"
        self._line = ""
        self._began = time.monotonic()
        self._status = Status("", console=Console(stderr=True))

    def show(self, *, state: str | None = None, line: str | None = None) -> None:
        """Say what changed; the elapsed time moves in any case."""
        self._state = state or self._state
        self._line = line or self._line
        self._status.update(self._text())

    def _text(self) -> Text:
        elapsed = time.monotonic() - self._began
        log = f" · {self._line}" if self._line else ""
        text = Text(f"{self._model}: {self._state}, {elapsed:.1f}s{log}", no_wrap=True)
        text.truncate(max(20, self._status.console.width - 4), overflow="ellipsis")
        return text

    def __enter__(self) -> Self:
        if self._status.console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()


async def load(corral: Corral, model: str) -> Any:
    """Load `model` with live progress on stderr; the server's report. Raises Failure."""
    return await watched(corral, model, corral.load(model))


async def watched(corral: Corral, model: str, work: Awaitable[T]) -> T:
    """What `work` returns or raises; until then what `model` does is shown on stderr."""
    with Progress(model) as progress:
        watchers = [
            asyncio.create_task(_watch_state(corral, model, progress), name=f"state of {model}"),
            asyncio.create_task(_watch_log(corral, model, progress), name=f"log of {model}"),
        ]
        try:
            return await work
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)


async def _watch_state(corral: Corral, model: str, progress: Progress) -> None:
    """The load call tells the truth; a look that fails is not worth a word."""
    while True:
        with suppress(Failure):
            progress.show(state=(await corral.model(model)).state)
        await asyncio.sleep(POLL)


async def _watch_log(corral: Corral, model: str, progress: Progress) -> None:
    with suppress(Failure):
        async for piece in corral.follow(model, history=False):
            lines = [line.strip() for line in piece.splitlines() if line.strip()]
            if lines:
                progress.show(line=lines[-1])

"""The engines' own metrics, asked for when somebody scrapes corral.

1. Asking is no use: no lease, no TTL that starts anew, nothing in flight. Only models that are ready are asked, so none is ever loaded.
2. All are asked at once, and `LIMIT` bounds them all: an engine that hangs costs its own metrics, never the scrape.
3. An engine that says that it has no metrics (any answer but 200 and 5xx; 501 too) is not asked again as long as its process lives.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from corral.errors import CorralError
from corral.gateway.asking import ask
from corral.gateway.engine import Engine
from corral.gateway.ports import Upstream
from corral.scheduler.machine import State

LIMIT: Final = 1.0
"""Seconds for an engine's whole answer."""
LONGEST: Final = 8 * 2**20
"""Bytes of an answer that are read; no engine has that many metrics."""
_NOT_IMPLEMENTED: Final = 501

log = logging.getLogger("corral.gathering")


class Told(NamedTuple):
    """What one model's engine said; None when it should have said something and did not."""

    model: str
    text: str | None


class Gathering:
    """Asks the engines of the models that are ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._silent: dict[str, Upstream] = {}
        """Engines without metrics: one process has one upstream."""
        self._spoke: dict[str, Upstream] = {}
        """Engines that have had metrics."""

    def __repr__(self) -> str:
        return f"<Gathering: {sorted(self._spoke)} have metrics>"

    async def told(self) -> list[Told]:
        """What the engines that have metrics tell now."""
        asking = (self._told(*one) for one in self._ready() if not self._is_silent(*one))
        answers = await asyncio.gather(*asking)
        return [told for told in answers if told]

    def refuse(self, model: str, why: str) -> None:
        """What this model's engine told makes no sense; it is not asked again as long as it lives."""
        upstream = self._spoke.pop(model, None)
        if upstream is not None:
            self._silent[model] = upstream
            log.warning("%s: its /metrics cannot be read: %s", model, why)

    def _ready(self) -> list[tuple[str, Upstream]]:
        found = []
        for model in self._engine.machine.models:
            if self._engine.machine.state(model) is State.READY:
                try:
                    found.append((model, self._engine.processes.upstream(model)))
                except CorralError:  # it has just gone
                    continue
        return found

    def _is_silent(self, model: str, upstream: Upstream) -> bool:
        return self._silent.get(model) is upstream

    async def _told(self, model: str, upstream: Upstream) -> Told | None:
        try:
            answer = await ask(
                upstream, b"GET", b"/metrics", within=LIMIT, accept=b"text/plain", longest=LONGEST
            )
        except CorralError as error:
            log.debug("%s: no metrics: %s", model, error.message)
            return self._failed(model, upstream)
        if answer.status == 200:
            self._spoke[model] = upstream
            return Told(model, answer.body.decode("utf-8", "replace"))
        if answer.status >= 500 and answer.status != _NOT_IMPLEMENTED:
            return self._failed(model, upstream)
        self._silent[model] = upstream
        self._spoke.pop(model, None)
        return None

    def _failed(self, model: str, upstream: Upstream) -> Told | None:
        return Told(model, None) if self._spoke.get(model) is upstream else None

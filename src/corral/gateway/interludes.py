"""What is done between the scheduler's word and the process: before it is launched, before it is told to stop.

To the scheduler the model is loading, or unloading, meanwhile; so nobody is served by it, and nobody who needs its room is let in.
An interlude is bounded, can be broken off at any moment, and what goes wrong in it is logged: it delays, it never decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Literal, NamedTuple

log = logging.getLogger("corral.engine")

Interlude = Callable[[str], Awaitable[None] | None]
"""Given a model: what to wait for, or None."""

LONGEST: Final = 600.0
"""Seconds before a launch: whoever settles has bounds of their own, this is for defects."""


What = Literal["", "launch", "stop"]


class _Pause(NamedTuple):
    """`what` comes after `task`, unless that is broken off."""

    what: What
    task: asyncio.Task[None]


class Interludes:
    """Those that are under way, one per model at most. `before_start` and `before_stop` are filled in by whoever has something to do."""

    def __init__(self) -> None:
        self.before_start: list[Interlude] = []
        self.before_stop: list[Interlude] = []
        self._pauses: dict[str, _Pause] = {}

    def __repr__(self) -> str:
        return f"<Interludes: {sorted(self._pauses)}>"

    def start(self, model: str, launch: Callable[[], None]) -> None:
        """`launch` after what is to be done before it; at once when that is nothing."""
        self._play("launch", model, self.before_start, LONGEST, lambda _: launch())

    def stop(self, model: str, grace: float, stop: Callable[[float], None]) -> bool:
        """`stop` with what is left of the grace. False when the model was still to be launched, and now is not."""
        match self.broken_off(model):
            case "launch":
                return False
            case "stop":  # told again, with less time
                stop(grace)
            case _:
                self._play("stop", model, self.before_stop if grace > 0 else [], grace, stop)
        return True

    def broken_off(self, model: str) -> What:
        """End what is under way for `model`, without what it was to lead to; which that was, empty for none."""
        pause = self._pauses.pop(model, None)
        if pause is None:
            return ""
        pause.task.cancel()
        return pause.what

    def _play(
        self,
        what: What,
        model: str,
        interludes: list[Interlude],
        within: float,
        then: Callable[[float], None],
    ) -> None:
        wanted = [work for play in interludes if (work := _asked(play, model)) is not None]
        if not wanted:
            then(within)
            return
        pause = self._pause(model, wanted, within, then)
        loop = asyncio.get_running_loop()
        task = loop.create_task(pause, name=f"before the {what} of {model}")
        self._pauses[model] = _Pause(what, task)
        task.add_done_callback(lambda _: _closed(wanted))

    async def _pause(
        self,
        model: str,
        wanted: list[Awaitable[None]],
        within: float,
        then: Callable[[float], None],
    ) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + within
        try:
            async with asyncio.timeout_at(end):
                for work in wanted:
                    await work
        except TimeoutError:
            log.warning("%s: what was to be done before took more than %g s", model, within)
        except Exception:
            log.exception("%s: what was to be done before failed", model)
        del self._pauses[model]
        then(max(0.0, end - clock()))


def _closed(wanted: list[Awaitable[None]]) -> None:
    """What was not begun when it was broken off never is."""
    for work in wanted:
        if isinstance(work, Coroutine):
            work.close()


def _asked(play: Interlude, model: str) -> Awaitable[None] | None:
    try:
        return play(model)
    except Exception:
        log.exception("%s: what was to be done before is left out", model)
        return None

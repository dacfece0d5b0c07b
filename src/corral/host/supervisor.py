"""Every model's process, at most one each.

1. What was started is reported `exited` exactly once, after nothing of it is left; `ready` comes at most once before that.
2. Starting what runs and stopping what does not are nothing: a report is on its way, or has been given.
3. On leaving the scope everything is ended. What even SIGKILL cannot end (a process stuck in the kernel) delays that by
   `STUBBORN` seconds, and is logged.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Generic, Protocol, Self

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed, UpstreamUnreachable
from corral.host.life import Life, ProcessStatus, Surroundings, U
from corral.host.lifeline import Lifeline
from corral.host.logs import Ring
from corral.host.ports import socket_folder
from corral.host.programs import problem_of, stands_in

# Seconds for what still runs when the scope is left: whoever leaves has had patience before.
LEAVING_GRACE = 2.0
STUBBORN = 5.0

_log = logging.getLogger(__name__)


class Reports(Protocol):
    """Who wants to know. Called on the event loop."""

    def ready(self, model: str) -> None: ...

    def exited(self, model: str, reason: LoadFailed | None) -> None:
        """`reason` is None only for a process that was asked to stop."""
        ...


class Supervisor(Generic[U]):
    """A scope: launches, watches and ends the processes of `specs`, and ends all that still run when it is left.

    `upstream_factory(proxy, model)` makes the connections to a process's address, closed with it. `runtime_dir` is the user's
    folder for port locks and sockets (`files.runtime_folder()`). What all of them print goes to `output`, closed at the end.
    Entering raises OSError when no guardian can be launched.
    """

    def __init__(
        self,
        specs: Mapping[str, LaunchSpec],
        reports: Reports,
        *,
        upstream_factory: Callable[[str, str], U],
        runtime_dir: Path,
        output: Ring | None = None,
    ) -> None:
        self._specs = dict(specs)
        self._reports = reports
        self._connect = upstream_factory
        self._runtime = runtime_dir
        self.output = output or Ring()
        """What all of them print."""
        self._rings = {model: Ring(into=self.output) for model in specs}
        self._shipped = _on_the_shipped_engine(specs)
        self._lives: dict[str, Life[U]] = {}
        self._last: dict[str, Life[U]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: Surroundings | None = None
        self._scope = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Supervisor of {len(self._specs)} models, running: {sorted(self._lives)}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know at start: who runs on the shipped engine."""
        if not self._shipped:
            return ()
        names = ", ".join(sorted(self._shipped))
        return (f"no llama-server on this machine: the shipped engine runs {names}",)

    async def __aenter__(self) -> Self:
        sockets = self._scope.enter_context(socket_folder(self._runtime))
        try:
            lifeline = await self._scope.enter_async_context(Lifeline(sockets).held())
        except BaseException:
            await self._scope.aclose()
            raise
        self._shared = Surroundings(lifeline, self._runtime / "ports", sockets)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shared = None
        try:
            await self._emptied(LEAVING_GRACE)
        except asyncio.CancelledError:  # somebody cannot wait any more
            await self._emptied(0)
            raise
        finally:
            for ring in (*self._rings.values(), self.output):
                ring.close()
            await self._scope.aclose()

    async def check(self, model: str) -> LoadFailed | None:
        """Why this model could not start on this machine now (program or model file missing), or None."""
        spec = self._specs.get(model)
        return None if spec is None else await asyncio.to_thread(problem_of, spec)

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on models are launched as `specs` say. What runs is left alone; with the end of a process whose model is not among
        them, its log ends too. One that need not be launched anew is stopped as they say."""
        self._specs = dict(specs)
        self._shipped = _on_the_shipped_engine(specs)
        for model in specs.keys() - self._rings.keys():
            self._rings[model] = Ring(into=self.output)
        for model, life in self._lives.items():
            if self._is_current(model, life):
                life.adopt(specs[model])
        for model in list(self._rings):
            self._forget(model)

    def start(self, model: str) -> None:
        """Launch; report `ready` or `exited`. Returns at once."""
        if model in self._lives:
            return
        loop = asyncio.get_running_loop()
        if self._shared is None:
            failure = LoadFailed(f"{model}: corral is stopping")
            loop.call_soon(self._reports.exited, model, failure)
            return
        life = Life(self._specs[model], self._rings[model], self._shared, self._connect)
        self._lives[model] = self._last[model] = life
        task = loop.create_task(self._live(model, life), name=f"process of {model}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, model: str, grace: float) -> None:
        """Terminate, kill after `grace` seconds; report `exited`. Returns at once; also while starting."""
        if life := self._lives.get(model):
            life.stop(grace)

    def upstream(self, model: str) -> U:
        """Where a model that was reported ready answers. Raises UpstreamUnreachable when its process is gone."""
        life = self._lives.get(model)
        if life is None or life.upstream is None:
            raise UpstreamUnreachable(f"{model}: its process is gone; try again")
        return life.upstream

    def status(self, model: str) -> ProcessStatus:
        """The running process, else the last one, else what would run."""
        if life := self._last.get(model):
            return life.status()
        spec = self._specs[model]
        shipped = model in self._shipped
        return ProcessStatus(cmd=shlex.join(spec.argv), proxy=spec.proxy, shipped=shipped)

    def log(self, model: str) -> Ring:
        """What its processes wrote, this one and those before it."""
        return self._rings[model]

    async def _live(self, model: str, life: Life[U]) -> None:
        reason = await life.run(lambda: self._reports.ready(model))
        del self._lives[model]
        self._reports.exited(model, reason)
        self._forget(model)

    def _is_current(self, model: str, life: Life[U]) -> bool:
        spec = self._specs.get(model)
        return spec is not None and spec.launched == life.launched

    def _forget(self, model: str) -> None:
        """What is not running, and would not be launched like that again."""
        if model in self._lives:
            return
        if (last := self._last.get(model)) and not self._is_current(model, last):
            del self._last[model]
        if model not in self._specs and (ring := self._rings.pop(model, None)):
            ring.close()

    async def _emptied(self, grace: float) -> None:
        for model in list(self._lives):
            self.stop(model, grace)
        if not self._tasks:
            return
        _, stuck = await asyncio.wait(self._tasks, timeout=grace + STUBBORN)
        for task in stuck:
            _log.error("%s did not end; leaving it to the guardian", task.get_name())


def _on_the_shipped_engine(specs: Mapping[str, LaunchSpec]) -> frozenset[str]:
    """A thousand models have a program or two between them, and looking for one takes its time."""
    programs = {spec.argv[:1]: spec for spec in specs.values()}
    shipped = {program for program, spec in programs.items() if stands_in(spec)}
    return frozenset(model for model, spec in specs.items() if spec.argv[:1] in shipped)

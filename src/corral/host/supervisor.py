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
from typing import Generic, Protocol, Self, TypeAlias

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed, UpstreamUnreachable
from corral.host.life import Life, ProcessStatus, Surroundings, U
from corral.host.lifeline import Lifeline
from corral.host.logs import Ring
from corral.host.ports import socket_folder
from corral.host.programs import problem_of, stands_in
from corral.host.routed import RoutedLife
from corral.host.router_mode import learn, problem_at_router, runs_alone, who_run_alone
from corral.host.routers import Routers
from corral.host.slot_saving import SlotSaving

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


AnyLife: TypeAlias = Life[U] | RoutedLife[U]


class Supervisor(Generic[U]):
    """A scope: launches, watches and ends the processes of `specs`, and ends all that still run when it is left.

    `upstream_factory(proxy, model)` makes the connections to a process's address, closed with it. `runtime_dir` is the user's
    folder for port locks and sockets (`files.runtime_folder()`). What all of them print goes to `output`, closed at the end.
    `saving` has llama-server's slots saved.
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
        routed_factory: Callable[[str, str, str], U] | None = None,
        saving: SlotSaving | None = None,
    ) -> None:
        self._specs = dict(specs)
        self._reports = reports
        self._connect = upstream_factory
        self._connect_routed = routed_factory or (
            lambda proxy, model, _: self._connect(proxy, model)
        )
        self._runtime = runtime_dir
        self._saving = saving
        self.output = output or Ring()
        """What all of them print."""
        self._rings = {model: Ring(into=self.output) for model in specs}
        self._alone: frozenset[str] = frozenset()
        self._shipped = _on_the_shipped_engine(specs)
        self._routers: Routers | None = None
        self._lives: dict[str, AnyLife[U]] = {}
        self._last: dict[str, AnyLife[U]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: Surroundings | None = None
        self._scope = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Supervisor of {len(self._specs)} models, running: {sorted(self._lives)}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know at start: who runs on the shipped engine, and who without its router."""
        told = []
        if self._shipped:
            names = ", ".join(sorted(self._shipped))
            told.append(f"no llama-server on this machine: the shipped engine runs {names}")
        if alone := [model for model in sorted(self._alone) if self._specs[model].argv]:
            names = ", ".join(alone)
            told.append(
                f"no llama-server with a router mode on this machine: run by commands of their own: {names}"
            )
        return tuple(told)

    async def __aenter__(self) -> Self:
        sockets = self._scope.enter_context(socket_folder(self._runtime))
        try:
            lifeline = await self._scope.enter_async_context(Lifeline(sockets).held())
            await learn(self._specs.values(), lifeline)
        except BaseException:
            await self._scope.aclose()
            raise
        self._shared = Surroundings(lifeline, self._runtime / "ports", sockets, self._saving)
        self._routers = Routers(self._specs, self._shared)
        self._alone = who_run_alone(self._specs.values())
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
        if spec is None:
            return None
        if spec.routed is None:
            return await asyncio.to_thread(problem_of, spec)
        if self._shared:
            await learn([spec], self._shared.lifeline)
        problem = await asyncio.to_thread(problem_at_router, spec)
        if problem or self._routers is None or runs_alone(spec):
            return problem
        return await self._routers.check(spec)

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on models are launched as `specs` say. What runs is left alone; with the end of a process whose model is not among
        them, its log ends too. One that need not be launched anew is stopped as they say."""
        self._specs = dict(specs)
        self._shipped = _on_the_shipped_engine(specs)
        if self._routers:
            self._routers.adopt(specs)
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
        life = self._life(self._specs[model], self._shared)
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
        if spec.routed and not runs_alone(spec):
            launch = spec.routed.launch
            return ProcessStatus(
                cmd=shlex.join(launch.argv) if launch else "",
                proxy=launch.proxy if launch else spec.routed.url,
            )
        return ProcessStatus(cmd=shlex.join(spec.argv), proxy=spec.proxy, shipped=shipped)

    def routers(self) -> dict[str, bool]:
        """Every router of the configuration, and whether it answers; one that no model has been loaded through yet does not."""
        return self._routers.running() if self._routers else {}

    def log(self, model: str) -> Ring:
        """What its processes wrote, this one and those before it."""
        return self._rings[model]

    def _life(self, spec: LaunchSpec, shared: Surroundings) -> AnyLife[U]:
        if spec.routed is None or self._routers is None or runs_alone(spec):
            return Life(spec, self._rings[spec.model], shared, self._connect)
        return RoutedLife(spec, self._rings[spec.model], self._routers, self._connect_routed)

    async def _live(self, model: str, life: AnyLife[U]) -> None:
        reason = await life.run(lambda: self._reports.ready(model))
        if self._saving:
            self._saving.ended(model)
        del self._lives[model]
        self._reports.exited(model, reason)
        self._forget(model)

    def _is_current(self, model: str, life: AnyLife[U]) -> bool:
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
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=grace + STUBBORN)
            for task in stuck:
                _log.error("%s did not end; leaving it to the guardian", task.get_name())
        if self._routers:
            await self._routers.aclose(grace)


def _on_the_shipped_engine(specs: Mapping[str, LaunchSpec]) -> frozenset[str]:
    """A thousand models have a program or two between them, and looking for one takes its time."""
    alone = who_run_alone(specs.values())
    own = [spec for spec in specs.values() if spec.routed is None or spec.model in alone]
    programs = {spec.argv[:1]: spec for spec in own}
    shipped = {program for program, spec in programs.items() if stands_in(spec)}
    return frozenset(spec.model for spec in own if spec.argv[:1] in shipped)

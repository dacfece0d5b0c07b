"""One life of a model's process: from its launch to the moment when nothing of it is left.

1. It ends in one of five ways (`Ending`); which one decides what is reported.
2. Asking it to stop works at any moment, also before it was launched; asking again may only shorten its time.
3. The port and the socket are held exactly as long as it lives.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed
from corral.host.endings import Ending, exit_text, failure
from corral.host.health import HealthCheck
from corral.host.lifeline import Lifeline
from corral.host.logs import Ring
from corral.host.ports import held_port, held_socket
from corral.host.process import Child, Command, launched, stop_command
from corral.host.process_memory import members, resident
from corral.host.programs import Program, find_program
from corral.host.slot_saving import SlotSaving

# Seconds between SIGTERM (or the stop command) and SIGKILL for a process that did not become ready in time.
FAILED_GRACE = 5.0
TAIL_LINES = 20

_log = logging.getLogger(__name__)


class Closing(Protocol):
    """What corral keeps open towards an engine, as far as its process is concerned."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A running (or last run) process, for people. `rss` are the bytes of its whole group, None when it is not running."""

    pid: int | None = None
    port: int | None = None
    cmd: str = ""
    proxy: str = ""
    shipped: bool = False
    rss: int | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all lives share."""

    lifeline: Lifeline
    locks: Path
    sockets: Path
    saving: SlotSaving | None = None


U = TypeVar("U", bound=Closing)

Place = tuple[int | None, str]
"""Port and socket."""


class Life(Generic[U]):
    """See the module. `connect(proxy, model)` makes `upstream` for the address that this life has; `what` it is to people, if not the
    model's own process."""

    def __init__(
        self,
        spec: LaunchSpec,
        ring: Ring,
        shared: Surroundings,
        connect: Callable[[str, str], U],
        what: str = "",
    ) -> None:
        loop = asyncio.get_running_loop()
        self._what = what
        self._spec = spec
        self._place: Place | None = None
        self.launched = spec.launched
        self._ring = ring
        self._begin = ring.total
        self._shared = shared
        self._connect = connect
        self._asked: asyncio.Future[None] = loop.create_future()
        self._overdue: asyncio.Future[None] = loop.create_future()
        self._alarms: list[asyncio.TimerHandle] = []
        self._program: Program | None = None
        self._child: Child | None = None
        self.upstream: U | None = None

    def __repr__(self) -> str:
        return f"<Life of {self._spec.model}: {self._child or 'not launched'}>"

    def stop(self, grace: float) -> None:
        """Ask it to end, and make it end `grace` seconds from now at the latest."""
        _settle(self._asked)
        loop = asyncio.get_running_loop()
        self._alarms.append(loop.call_later(max(0.0, grace), _settle, self._overdue))

    def adopt(self, spec: LaunchSpec) -> None:
        """`spec` was `launched` in the same way, and may be stopped in another."""
        if self._place is None:
            self._spec = spec
        else:
            stop = spec.filled(*self._place).stop_argv
            self._spec = replace(self._spec, stop_argv=stop)

    def status(self) -> ProcessStatus:
        """Of the process while it runs, and after."""
        spec, program, child = self._spec, self._program, self._child
        return ProcessStatus(
            pid=child.pid if child else None,
            port=spec.port if child else None,
            cmd=shlex.join(program.argv if program else spec.argv),
            proxy=spec.proxy,
            shipped=program is not None and program.shipped,
            rss=_rss(child),
        )

    async def run(self, ready: Callable[[], None]) -> LoadFailed | None:
        """Live; `ready` is called when the health check passes. Why it ended, None when it was asked to."""
        try:
            reason = await self._run(ready)
        except LoadFailed as error:
            reason = error
        except Exception as error:  # noqa: BLE001 (who waits for this model must hear of any failure)
            _log.exception("%s: could not be run", self._spec.model)
            reason = LoadFailed(f"{self._spec.model}: corral could not run it: {error!r}")
        finally:
            for alarm in self._alarms:
                alarm.cancel()
        return None if self._asked.done() else reason

    async def _run(self, ready: Callable[[], None]) -> LoadFailed | None:
        configured = self._spec
        with _placed(configured, self._shared) as place:
            self._place, self._spec = place, configured.filled(*place)
            self._program = find_program(self._spec)
            await self._prepare(configured, self._program)
            check = self._checked()
            self.upstream = self._connect(self._spec.proxy, self._spec.model)
            try:
                ending, code = await self._lived(check, ready)
            finally:
                await self.upstream.aclose()
        tail = self._ring.tail(TAIL_LINES, since=self._begin)
        return failure(ending, self._spec, code, tail, str(check), self._what)

    async def _prepare(self, configured: LaunchSpec, program: Program) -> None:
        """Have its slots saved, where that is wanted and can be done before it is asked to stop."""
        saving = self._shared.saving
        if saving is None or not saving.concerns(configured):
            return
        work = saving.prepared(configured, program, self._shared.lifeline)
        preparing = asyncio.get_running_loop().create_task(work, name=f"prepare {configured.model}")
        try:
            await _first(preparing, self._asked)
            if preparing.done():
                self._program = preparing.result()
        finally:
            preparing.cancel()
            await asyncio.wait([preparing])

    def _checked(self) -> HealthCheck | None:
        if self._spec.check is None:
            return None
        try:
            return HealthCheck(self._spec.proxy, self._spec.check)
        except ValueError as error:
            raise LoadFailed(f"{self._spec.model}: {error}; correct `proxy`") from error

    async def _lived(
        self, check: HealthCheck | None, ready: Callable[[], None]
    ) -> tuple[Ending, int]:
        async with AsyncExitStack() as stack:
            child = self._child = await self._launched(stack)
            ending = await self._ending(child, check, ready)
        return ending, child.exited.result()

    async def _launched(self, stack: AsyncExitStack) -> Child:
        assert self._program is not None  # noqa: S101 (set just before, in `_run`)
        command = Command(self._program.argv, self._spec.env, self._spec.stop_argv or ())
        try:
            return await stack.enter_async_context(
                launched(command, self._shared.lifeline, self._ring.write)
            )
        except OSError as error:
            raise LoadFailed(
                f"{self._spec.model}: {command.argv[0]} could not be launched: {error.strerror}; correct `cmd`"
            ) from error

    async def _ending(
        self, child: Child, check: HealthCheck | None, ready: Callable[[], None]
    ) -> Ending:
        passed = check is None or await self._passes(child, check)
        # 1. Stopped while loading. 2. Exited while loading. 3. Not ready in time.
        if self._asked.done():
            return await self._stopped(child, Ending.ASKED)
        if child.exited.done():
            return Ending.EARLY
        if not passed:
            self._alarms.append(
                asyncio.get_running_loop().call_later(FAILED_GRACE, _settle, self._overdue)
            )
            return await self._stopped(child, Ending.LATE)
        # 4. Stopped while ready. 5. Exited while ready.
        ready()
        await _first(child.exited, self._asked)
        return await self._stopped(child, Ending.ASKED) if self._asked.done() else Ending.CRASHED

    async def _passes(self, child: Child, check: HealthCheck) -> bool:
        loop, model = asyncio.get_running_loop(), self._spec.model
        checking = loop.create_task(check.passed(), name=f"health check of {model}")
        try:
            await _first(checking, child.exited, self._asked, within=self._spec.start_timeout)
            return checking.done()
        finally:
            checking.cancel()
            await asyncio.wait([checking])

    async def _stopped(self, child: Child, ending: Ending) -> Ending:
        """Return when it has ended by itself or its time is up; leaving its scope does the rest."""
        if not child.exited.done():
            if not (self._spec.stop_argv and await self._ran_stop_command(child)):
                child.terminate()
            await _first(child.exited, self._overdue)
        return ending

    async def _ran_stop_command(self, child: Child) -> bool:
        """False when it failed: then SIGTERM is tried. It is waited for even when the process has exited: a container may still be going."""
        argv = stop_command(self._spec.stop_argv or (), child.pid)
        command = Command((shutil.which(argv[0]) or argv[0], *argv[1:]), self._spec.env)
        try:
            async with launched(command, self._shared.lifeline, self._ring.write) as stopper:
                await _first(stopper.exited, self._overdue)
                failed = stopper.exited.done() and stopper.exited.result() != 0
        except OSError as error:
            self._note(f"cmdStop could not be launched: {error}")
            return False
        if failed:
            self._note(f"cmdStop {exit_text(stopper.exited.result())}")
        return not failed

    def _note(self, text: str) -> None:
        _log.warning("%s: %s; sending SIGTERM instead", self._spec.model, text)
        self._ring.write(f"[corral: {text}; sending SIGTERM instead]\n".encode())


@contextmanager
def _placed(spec: LaunchSpec, shared: Surroundings) -> Iterator[Place]:
    """A port, if `spec` takes one, and a socket that are nobody else's while the block lasts."""
    with ExitStack() as stack:
        socket = str(stack.enter_context(held_socket(shared.sockets)))
        wanted = spec.port
        port = None if wanted is None else stack.enter_context(held_port(wanted, shared.locks))
        yield port, socket


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _first(*futures: asyncio.Future[Any], within: float | None = None) -> None:
    """Return when the first is done, or the time is up."""
    await asyncio.wait(futures, timeout=within, return_when=asyncio.FIRST_COMPLETED)


def _rss(child: Child | None) -> int | None:
    if child is None or child.exited.done():
        return None
    return resident(members((child.pid,))).get(child.pid)

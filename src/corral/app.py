"""The only place that builds things: a configuration becomes a running corral.

The order of leaving is the point: refuse newcomers and let what is in flight finish, stop the models, close the connections, and last
end whatever process is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from corral.config.command import LaunchSpec, launch_specs
from corral.config.model import Config
from corral.config.relaying import Timeouts
from corral.errors import ConfigError, Problem, ShuttingDown, UpstreamUnreachable
from corral.gateway.activity import books
from corral.gateway.conversations import Conversing
from corral.gateway.engine import Engine, patiently
from corral.gateway.exchange import Ledger
from corral.gateway.gateway import Gateway
from corral.gateway.inference import Inference
from corral.gateway.inforce import InForce
from corral.gateway.learning import learn
from corral.gateway.parking import Parking
from corral.gateway.performance import Performance
from corral.gateway.reload import Reloader
from corral.gateway.routing import Routing
from corral.gateway.switching import Switcher
from corral.host import files, hotmodel_state, storage
from corral.host.activity import Activity
from corral.host.conversations import Conversations
from corral.host.journal import Journal, journal
from corral.host.load_times import LoadTimes
from corral.host.peers import Peers
from corral.host.probes import Probes
from corral.host.router_upstream import RoutedUpstream
from corral.host.signals import Wishes
from corral.host.slot_files import SlotFiles
from corral.host.slot_saving import SlotSaving
from corral.host.spool import Spool
from corral.host.storage import Storage
from corral.host.supervisor import Supervisor
from corral.host.upstream import Engine as Upstream
from corral.host.watch import Watch
from corral.scheduler.rules import machine_for
from corral.server.app import App
from corral.server.listen import Server, bind, url
from corral.sessions.filing import filed

log = logging.getLogger("corral")


@dataclass(frozen=True, slots=True)
class Edits:
    """Where changes of the configuration come from. `read` reads it again, called in a thread, and raises ConfigError; `watch`, if any,
    sees when that should be done unasked."""

    read: Callable[[], Config]
    watch: Watch | None = None


def serve(
    config: Config,
    *,
    origin: Path,
    listen: tuple[str, int] = ("127.0.0.1", 8080),
    tls: tuple[str, str] | None = None,
    edits: Edits | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve `config` until SIGTERM or SIGINT; a second one stops at once.

    `origin` is the file or folder that the configuration came from: each has its own folder for state.
    `listen` is (host, port), an empty host meaning every interface; `tls` (certificate file, key file). `ready` is called once with the
    URL that answers. Raises OSError when the address cannot be bound.
    """
    with contextlib.ExitStack() as scope:
        sockets = [scope.enter_context(bound) for bound in bind(*listen)]
        runner = scope.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        runner.run(_serve(config, origin, sockets, tls, edits, ready or print))


def collect_rarely() -> None:
    """Have the collector of circles leave alone what is there by now, and look seldom at the rest: requests make no circles.

    Else it takes a tenth of a request's time, since thousands of requests are remembered for a while.
    """
    gc.freeze()  # without collecting first, which would make every start wait for what little there is
    gc.set_threshold(5000, 20, 20)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on Windows
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    config: Config,
    origin: Path,
    sockets: list[socket.socket],
    tls: tuple[str, str] | None,
    edits: Edits | None,
    ready: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    wishes = Wishes(loop)
    async with opened(config, origin, edits) as gateway:
        face = App(gateway)
        server = Server(face, tls, partial(ready, url(sockets, tls)))
        collect_rarely()
        serving = loop.create_task(server.serve(sockets), name="http")
        leaving = loop.create_task(wishes.leave.wait(), name="signals")
        gateway.reloader.preload(config.preload)
        following = _following(gateway.reloader, wishes, edits)
        await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, *following):
            task.cancel()
        await _wind_up(gateway, wishes.now)
        server.should_exit = True
        await serving
        face.requests.flush()


async def _wind_up(gateway: Gateway, now: asyncio.Event) -> None:
    """Let what is in flight finish, at peers too, and the models stop: within `shutdownTimeout`, or until `now`. Then end who follows logs."""
    loop, timeout = asyncio.get_running_loop(), gateway.config.shutdown_timeout
    await gateway.reloader.aclose()
    await gateway.switcher.aclose()
    limit, why = loop.time() + timeout, ShuttingDown("corral is shutting down")
    loop.call_at(limit, gateway.ledger.cancel, why)  # before their models are stopped
    await gateway.engine.close(now, timeout)
    await patiently(gateway.ledger.emptied(), now, limit - loop.time())
    gateway.ledger.cancel(why)
    gateway.logs.own.close()
    gateway.logs.printed.close()


def _following(reloader: Reloader, wishes: Wishes, edits: Edits | None) -> list[asyncio.Task[None]]:
    """What asks for reloads while corral serves."""

    async def signals() -> None:
        while True:
            await wishes.reload.wait()
            wishes.reload.clear()
            reloader.trigger()

    async def files(watch: Watch) -> None:
        async for _ in watch:
            reloader.trigger()

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(signals(), name="signals: reload")]
    if edits and edits.watch:
        tasks.append(loop.create_task(files(edits.watch), name="watch"))
    return tasks


@contextlib.asynccontextmanager
async def opened(
    config: Config, origin: Path, edits: Edits | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with its processes as a scope: whatever it started is gone when it is left. The arguments are as in `serve`."""
    inforce, ledger, specs = InForce(config), Ledger(), launch_specs(config)
    async with contextlib.AsyncExitStack() as scope:
        logs = scope.enter_context(journal(config))
        runtime, state = files.runtime_folder(), _state(origin)
        stored = await scope.enter_async_context(Storage(state and state / storage.FILE))
        table = await scope.enter_async_context(_activities(config, stored))
        kept = await scope.enter_async_context(_conversations(inforce, stored))
        peers = await scope.enter_async_context(Peers(config.peers, os.environ))
        slots = await scope.enter_async_context(SlotFiles(state, config))
        engine = await scope.enter_async_context(_running(inforce, specs, runtime, logs, slots))
        times = LoadTimes(stored, specs)
        await learn(engine, times)
        inforce.watch(logs.adopt)
        inforce.watch(slots.adopt)
        inforce.watch(lambda config: peers.adopt(config.peers))
        routing = Routing(inforce, peers, engine.machine.state, lambda: engine.last_used)
        performance = await scope.enter_async_context(_measured(inforce))
        activity = scope.enter_context(contextlib.closing(books(inforce, ledger, table)))
        conversations = Conversing(inforce, kept, Parking(engine, slots))
        switcher = Switcher(inforce, engine, routing, performance.probes)
        yield Gateway(
            inforce=inforce,
            engine=engine,
            routing=routing,
            inference=Inference(inforce, engine, routing, peers, conversations),
            reloader=Reloader(inforce, engine, times, edits.read if edits else _unreadable),
            conversations=conversations,
            switcher=switcher,
            ledger=ledger,
            activity=activity,
            logs=logs,
            performance=performance,
            spool=lambda: Spool(inforce.config.max_body, state),
            environment=os.environ,
        )


@contextlib.asynccontextmanager
async def _running(
    inforce: InForce,
    specs: Mapping[str, LaunchSpec],
    runtime: Path,
    logs: Journal,
    slots: SlotFiles,
) -> AsyncIterator[Engine]:
    """The engine with the processes that it starts."""
    engine = Engine(machine_for(inforce.config))

    def connect(proxy: str, model: str) -> Upstream | RoutedUpstream:
        return Upstream(proxy, name=model, timeouts=_timeouts(inforce.config, model))

    def connect_routed(proxy: str, model: str, there: str) -> RoutedUpstream:
        timeouts = _timeouts(inforce.config, model)
        return RoutedUpstream(proxy, there, name=model, timeouts=timeouts)

    async with Supervisor(
        specs,
        engine,
        upstream_factory=connect,
        runtime_dir=runtime,
        output=logs.models,
        saving=SlotSaving(slots),
        routed_factory=connect_routed,
    ) as processes:
        for note in processes.notes:
            log.info(note)
        engine.processes = processes
        inforce.watch(partial(_retimed, processes))
        yield engine


def _timeouts(config: Config, model: str) -> Timeouts:
    """A process may start while its model is being taken out of the configuration."""
    return config.models[model].timeouts if model in config.models else Timeouts()


def _retimed(processes: Supervisor[Upstream | RoutedUpstream], config: Config) -> None:
    """From now on the running engines' connections follow this configuration."""
    for model in config.models:
        with contextlib.suppress(UpstreamUnreachable):  # it is not running
            processes.upstream(model).timeouts = _timeouts(config, model)


@contextlib.asynccontextmanager
async def _measured(inforce: InForce) -> AsyncIterator[Performance]:
    """This machine's load, sampled while the scope lasts."""
    with contextlib.closing(Probes()) as probes:
        performance = Performance(inforce, probes)
        async with performance.running():
            yield performance


@contextlib.asynccontextmanager
async def _activities(config: Config, stored: Storage) -> AsyncIterator[Activity]:
    """The table of requests: in the file that the configuration names, else in corral's own."""
    if config.store_path is None:
        yield Activity(stored)
        return
    async with Storage(Path(config.store_path)) as own:
        activity = Activity(own)
        activity.take_over()
        yield activity


@contextlib.asynccontextmanager
async def _conversations(inforce: InForce, stored: Storage) -> AsyncIterator[Conversations]:
    """The conversations: in the file that the configuration names, else in corral's own."""
    async with contextlib.AsyncExitStack() as scope:
        if named := inforce.config.sessions.store:
            with contextlib.suppress(OSError):  # opening it says so
                Path(named).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stored = await scope.enter_async_context(Storage(Path(named)))
        if state := inforce.config.imports:
            hotmodel_state.take_over(stored, Path(state), filed)
        conversations = Conversations(stored)
        yield await scope.enter_async_context(
            conversations.kept(lambda: inforce.config.sessions.ttl)
        )


def _unreadable() -> Config:
    message = "corral was started with a configuration that does not come from files"
    raise ConfigError([Problem("", 0, 0, "", message)])


def _state(origin: Path) -> Path | None:
    """The folder for what should outlive corral. None, and a line about it, where none can be had: a home may be read-only."""
    try:
        folder = files.state_folder(origin)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        reason = f"{folder} cannot be written"
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
    log.warning("no folder for corral's state, nothing is kept across restarts: %s", reason)
    return None

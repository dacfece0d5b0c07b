"""The routers that run: each is started with the first of its models, and shared by all of them.

1. A router runs until the scope ends, or until nobody uses it and the configuration names it no more, or would launch it in another way.
   There are never two of one name: the next one begins when the one before is gone.
2. It lives like any model's process (`life.py`), so that neither it nor what it launches outlives corral.
3. What it prints about a model stands in that model's log, the rest in the log of the model that it was started for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from corral.config.command import LaunchSpec, Routed
from corral.errors import CorralError, LoadFailed
from corral.host.address import Address
from corral.host.life import Life, ProcessStatus, Surroundings
from corral.host.logs import Ring
from corral.host.ports import is_free
from corral.host.router_client import RouterClient, Standing
from corral.host.router_output import Sorter

SHOWN: Final = 12
"""Names of a router's models in a message."""
IDLE: Final = 0.1
"""Seconds for a router that nobody uses: there is nothing to lose, and it takes up to one to see that its events are read no more."""
STUBBORN: Final = 5.0
"""Seconds beyond its time for one that even SIGKILL does not end."""
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_log = logging.getLogger(__name__)


class Router:
    """One router, started for the model of `spec`, whose log is `ring`. `Routers` runs it."""

    def __init__(self, spec: LaunchSpec, ring: Ring, shared: Surroundings) -> None:
        assert spec.routed  # noqa: S101 (who else comes here)
        loop = asyncio.get_running_loop()
        self.routed = spec.routed
        self.up: asyncio.Future[RouterClient] = loop.create_future()
        """Whom to ask, once it answers."""
        self.gone: asyncio.Future[LoadFailed | None] = loop.create_future()
        """Why it is gone; None when it was asked to go."""
        self.users: dict[str, str] = {}
        """The models that are being loaded, run or unloaded: their ids, and their ids there."""
        self.tidying = asyncio.Lock()
        """Held by who unloads what runs there unasked, and by who asks for a model."""
        self.stopped = False
        self._for = spec.model
        self._sorter = Sorter(ring)
        self._life: Life[RouterClient] | None = None
        shared = replace(shared, saving=None)
        if launch := spec.routed.launch:
            launch = replace(launch, model=spec.model)
            what = f"its router `{spec.routed.router}`"
            own = Ring(into=self._sorter)
            self._life = Life(launch, own, shared, self._client, what)

    def __repr__(self) -> str:
        state = "gone" if self.gone.done() else "up" if self.up.done() else "starting"
        return f"<Router {self.routed.router}: {state}, used by {sorted(self.users)}>"

    @property
    def runs(self) -> bool:
        """It answers, or did a moment ago."""
        return self.up.done() and not self.gone.done()

    def status(self) -> ProcessStatus:
        """Of its process; of one that corral did not start, the address only."""
        return self._life.status() if self._life else ProcessStatus(proxy=self.routed.url)

    def reason(self, model: str) -> LoadFailed | None:
        """Why it is gone, told to `model`."""
        why = self.gone.result()
        if why is None or model == self._for:
            return why
        text = f"{model}: {why.message.removeprefix(f'{self._for}: ')}"
        return LoadFailed(text, exit_code=why.exit_code, log_tail=why.log_tail)

    def speaks_for(self, there: str, ring: Ring) -> None:
        """What it prints about its model `there` belongs into this log."""
        self._sorter.models[there] = ring

    def stop(self, grace: float | None = None) -> None:
        """End it, within `grace` seconds or the time that is its own."""
        self.stopped = True
        if self.gone.done():
            return
        if self._life and self.routed.launch:
            self._life.stop(self.routed.launch.unload_timeout if grace is None else grace)
        else:
            self.gone.set_result(None)

    async def run(self, before: Router | None) -> None:
        """Live, once the one `before` is gone. Cancelling it kills it."""
        if before:
            await asyncio.wait([before.gone])
        reason = await (self._launched(self._life) if self._life else self._found())
        self._sorter.end()
        if not self.gone.done():
            self.gone.set_result(reason)

    async def _launched(self, life: Life[RouterClient]) -> LoadFailed | None:
        if self.stopped:
            return None
        if taken := self._taken():
            return LoadFailed(taken)
        listening: list[asyncio.Task[None]] = []
        try:
            return await life.run(lambda: listening.append(self._answers(life.upstream)))
        finally:
            for task in listening:
                task.cancel()

    def _client(self, proxy: str, _model: str) -> RouterClient:
        return RouterClient(proxy, self.routed.router)

    def _taken(self) -> str:
        """Who listens on a port that the command fixes would be taken for the router."""
        launch = self.routed.launch
        assert launch  # noqa: S101 (as `run` asked)
        if launch.port is not None or launch.proxy.startswith("unix:"):
            return ""
        address = Address.parse(launch.proxy)
        if address.host not in _LOOPBACK or is_free(address.port):
            return ""
        return (
            f"{self._for}: port {address.port}, where its router `{self.routed.router}` is to listen, is somebody else's; end "
            "that program, or write `--port ${PORT}`"
        )

    async def _found(self) -> LoadFailed | None:
        client = RouterClient(self.routed.url, self.routed.router)
        listening = self._answers(client)
        try:
            await asyncio.wait([self.gone])
        finally:
            listening.cancel()
            await client.aclose()
        return None

    def _answers(self, client: RouterClient | None) -> asyncio.Task[None]:
        assert client  # noqa: S101 (a life that is ready has its upstream)
        self.up.set_result(client)
        loop = asyncio.get_running_loop()
        return loop.create_task(client.listen(), name=f"events of router {self.routed.router}")


class Routers:
    """All of them. `specs` are all models of the configuration, those of no router too."""

    def __init__(self, specs: Mapping[str, LaunchSpec], shared: Surroundings) -> None:
        self._shared = shared
        self._routers: dict[str, Router] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.adopt(specs)

    def __repr__(self) -> str:
        return f"<Routers {list(self._routers.values())}>"

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on these are the models. A router that is launched in another way ends when nobody uses it any more."""
        self._routed = {model: spec.routed for model, spec in specs.items() if spec.routed}
        for router in self._routers.values():
            self._end_if_unwanted(router)

    def running(self) -> dict[str, bool]:
        """Every router of the configuration, and whether it runs."""
        names = dict.fromkeys(routed.router for routed in self._routed.values())
        return {name: name in self._routers and self._routers[name].runs for name in names}

    async def check(self, spec: LaunchSpec) -> LoadFailed | None:
        """Why a router that runs already could not load this model; None for one that corral has yet to start."""
        assert spec.routed  # noqa: S101 (who else comes here)
        router = self._routers.get(spec.routed.router)
        if router and router.runs and _same(router, spec.routed):
            return await _checked(spec, router.up.result())
        if not spec.routed.url:
            return None
        client = RouterClient(spec.routed.url, spec.routed.router)
        try:
            return await _checked(spec, client)
        finally:
            await client.aclose()

    def join(self, spec: LaunchSpec, ring: Ring) -> Router:
        """The router of this model, which it uses from now on until it `leave`s; it may be starting yet."""
        assert spec.routed  # noqa: S101 (who else comes here)
        name = spec.routed.router
        found = self._routers.get(name)
        if found is None or found.stopped or found.gone.done() or not _same(found, spec.routed):
            found = self._begun(spec, ring, found)
        found.users[spec.model] = spec.routed.model
        return found

    def leave(self, router: Router, model: str) -> None:
        """It is unloaded, or has failed."""
        del router.users[model]
        self._end_if_unwanted(router)

    def named(self, router: Router) -> set[str]:
        """The ids there of all its models in the configuration."""
        name = router.routed.router
        return {routed.model for routed in self._routed.values() if routed.router == name}

    async def aclose(self, grace: float) -> None:
        """End all of them."""
        for router in self._routers.values():
            router.stop(grace if router.users else min(IDLE, grace))
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=grace + STUBBORN)
            for task in stuck:
                _log.error("%s did not end; leaving it to the guardian", task.get_name())

    def _begun(self, spec: LaunchSpec, ring: Ring, before: Router | None) -> Router:
        router = Router(spec, ring, self._shared)
        name = router.routed.router
        self._routers[name] = router
        if before:
            self._end_if_unwanted(before)
        task = asyncio.get_running_loop().create_task(router.run(before), name=f"router {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return router

    def _end_if_unwanted(self, router: Router) -> None:
        """Law 1."""
        wanted = any(
            _same(router, routed)
            for routed in self._routed.values()
            if routed.router == router.routed.router
        )
        replaced = self._routers.get(router.routed.router) is not router
        if not router.users and not router.stopped and (replaced or not wanted):
            router.stop()


def _same(router: Router, routed: Routed) -> bool:
    """Whether `routed` leads to this very router."""
    ours, theirs = router.routed.launch, routed.launch
    same = ours and theirs and ours.launched == theirs.launched
    return router.routed.url == routed.url and bool(same or ours is theirs)


async def _checked(spec: LaunchSpec, client: RouterClient) -> LoadFailed | None:
    try:
        return unknown(spec, await client.models())
    except CorralError as error:
        return refused(spec, f"does not answer: {error.message}")


def unknown(spec: LaunchSpec, has: Mapping[str, Standing]) -> LoadFailed | None:
    """What to say of a model that its router, which `has` these, does not have; None for one that is there."""
    there = spec.routed.model if spec.routed else ""
    if there in has:
        return None
    names = sorted({standing.id for standing in has.values()})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    listed = f"{', '.join(names[:SHOWN])}{more}" if names else "none at all"
    return refused(
        spec, f"has no model `{there}`; it has {listed}: correct `routerModel`, or add it there"
    )


def refused(spec: LaunchSpec, text: str) -> LoadFailed:
    """`<model>: its router <name> <text>`."""
    name = spec.routed.router if spec.routed else ""
    return LoadFailed(f"{spec.model}: its router `{name}` {text}")

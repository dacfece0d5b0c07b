"""One life of a model at a router: from the order to load it to the moment when its server there is gone. To the supervisor it is what
`life.Life` is.

1. What the router's list says counts, not what it answers to an order: a model that "is already running" is waited for, one that "is not
   running" is gone.
2. Before it is loaded, our other models that run at the router unasked are unloaded: else more would be in memory than the policy knows of.
3. It is ordered to unload when it has nothing in work, for which its connections are ended: a request in work would keep it for ten seconds.
   What does not let go, or is not gone in time, is killed, at a router that corral has started.
4. When the router is gone, so is the model, for the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic

from corral.config.command import LaunchSpec
from corral.errors import CorralError, LoadFailed
from corral.host.endings import Ending, failure
from corral.host.life import FAILED_GRACE, TAIL_LINES, ProcessStatus, U
from corral.host.logs import Ring
from corral.host.router_client import GLANCE, RouterClient, Standing
from corral.host.router_servers import end_server
from corral.host.routers import Routers, refused, unknown

LET_GO: Final = 2.0
"""Seconds for its server to let go of requests that nobody waits for any more."""
KILLED: Final = 2.0
"""Seconds for the router to see that a model's server was killed."""
LAST_WORDS: Final = 0.5
"""Seconds for a router's own end, and for what it prints of a model's: the news of both may come sooner, on another way."""
END: Final = "exited with status"
"""What a router prints last about a model's server."""
TRIES: Final = 3
"""Loads of a model that somebody else unloads meanwhile."""

_log = logging.getLogger(__name__)


class RoutedLife(Generic[U]):
    """See the module. `connect(proxy, model, there)` makes `upstream`; `there` is the model's id at the router."""

    def __init__(
        self, spec: LaunchSpec, ring: Ring, routers: Routers, connect: Callable[[str, str, str], U]
    ) -> None:
        assert spec.routed  # noqa: S101 (who else comes here)
        loop = asyncio.get_running_loop()
        self._spec = spec
        self._routed = spec.routed
        self.launched = spec.launched
        self._ring = ring
        self._begin = ring.total
        self._routers = routers
        self._router = routers.join(spec, ring)
        self._connect = connect
        self._asked: asyncio.Future[None] = loop.create_future()
        self._overdue: asyncio.Future[None] = loop.create_future()
        self._alarms: list[asyncio.TimerHandle] = []
        self._order: asyncio.Task[str] | None = None
        self._there = spec.routed.model
        self._standing = Standing(self._there, "nothing yet")
        self.upstream: U | None = None

    def __repr__(self) -> str:
        return f"<RoutedLife of {self._spec.model}: {self._standing.value} at {self._router!r}>"

    def stop(self, grace: float) -> None:
        """Ask it to end, and make it end `grace` seconds from now at the latest."""
        _settle(self._asked)
        self._overdue_in(grace)

    def adopt(self, spec: LaunchSpec) -> None:
        """`spec` was `launched` in the same way; the rest of it does not matter here."""

    def status(self) -> ProcessStatus:
        """Of its router, which all of its models share."""
        return self._router.status()

    async def run(self, ready: Callable[[], None]) -> LoadFailed | None:
        """Live; `ready` is called when it answers. Why it ended, None when it was asked to."""
        model = self._spec.model
        try:
            reason = await self._run(ready)
        except LoadFailed as error:
            reason = error
        except Exception as error:  # noqa: BLE001 (who waits for this model must hear of any failure)
            _log.exception("%s: could not be run", model)
            reason = LoadFailed(f"{model}: corral could not run it: {error!r}")
        finally:
            for alarm in self._alarms:
                alarm.cancel()
            self._routers.leave(self._router, model)
        return None if self._asked.done() else reason

    async def _run(self, ready: Callable[[], None]) -> LoadFailed | None:
        router = self._router
        await _first(router.up, router.gone, self._asked)
        if self._asked.done() or router.gone.done():
            return self._without_router()
        client = router.up.result()
        try:
            return await self._lived(client, ready)
        except LoadFailed:
            raise
        except CorralError as error:
            return await self._unreachable(client, error)
        finally:
            await self._cut()

    async def _lived(self, client: RouterClient, ready: Callable[[], None]) -> LoadFailed | None:
        # 1. Stopped, too slow, or without a router while loading. 2. It cannot be loaded.
        loaded = await self._before_the_end(self._loaded(client), self._spec.start_timeout)
        if loaded is None:
            return await self._called_off(client)
        if not loaded.up:
            return await self._lost(Ending.EARLY, loaded)
        # 3. Stopped, or without a router while ready. 4. It is gone.
        self.upstream = self._connect(self._router.status().proxy, self._spec.model, self._there)
        ready()
        left = await self._before_the_end(client.until(loaded.id, self._is_down))
        return await (
            self._called_off(client) if left is None else self._lost(Ending.CRASHED, left)
        )

    async def _before_the_end(
        self, work: Coroutine[Any, Any, Standing], within: float | None = None
    ) -> Standing | None:
        """What `work` finds; None when it was asked to stop before, the router is gone, or the time is up."""
        task = asyncio.get_running_loop().create_task(work, name=f"router: {self._spec.model}")
        try:
            await _first(task, self._asked, self._router.gone, within=within)
            over = self._asked.done() or self._router.gone.done() or not task.done()
            return None if over else task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: nobody else will look

    # --- loading ---

    async def _loaded(self, client: RouterClient) -> Standing:
        """Have it loaded; how it stands when that is over."""
        for _ in range(TRIES):
            self._there = await self._found(client)
            self._router.speaks_for(self._there, self._ring)
            async with self._router.tidying:
                await self._tidied(client)
                await self._ordered(client)
            standing = await client.until(self._there, self._is_settled)
            if standing.value == "loaded":
                await client.busy(self._there)  # it does its work when it has answered
            if standing.up or standing.failed:
                break
        return standing

    async def _found(self, client: RouterClient) -> str:
        """The id that it goes by there."""
        has = await client.models()
        if problem := unknown(self._spec, has):
            raise problem
        return has[self._routed.model].id

    async def _tidied(self, client: RouterClient) -> None:
        """Law 2."""
        has = await client.models()
        ours = {has[name].id for name in self._routers.named(self._router) if name in has}
        used = {has[name].id for name in self._router.users.values() if name in has}
        for there in sorted(ours - used):
            if has[there].running:
                _log.info("%s runs at router %s unasked: unloading it", there, self._routed.router)
                await client.unload(there)
                await client.until(there, _is_gone)

    async def _ordered(self, client: RouterClient) -> None:
        """Not to be broken off: a model that is loaded after all would be nobody's."""
        loop = asyncio.get_running_loop()
        self._order = loop.create_task(client.load(self._there), name=f"load {self._spec.model}")
        refusal = await asyncio.shield(self._order)
        if not refusal:
            return
        standing = (await client.models()).get(self._there)
        if standing is None or not standing.running:
            raise refused(self._spec, f"refused to load it: {refusal}")

    def _is_settled(self, standing: Standing) -> bool:
        self._standing = standing
        return standing.up or _is_gone(standing)

    def _is_down(self, standing: Standing) -> bool:
        self._standing = standing
        return not standing.up

    # --- the end ---

    async def _called_off(self, client: RouterClient) -> LoadFailed | None:
        """Asked to stop, without a router, or not ready in time."""
        if self._router.gone.done():
            return self._without_router()
        said = self._standing.value
        late = not self._asked.done()
        if late:
            self._overdue_in(FAILED_GRACE)
        await self._cut()
        await self._unloaded(client)
        check = f"its router `{self._routed.router}` says: {said}"
        return failure(Ending.LATE, self._spec, 0, self._tail(), check) if late else None

    async def _cut(self) -> None:
        if self.upstream is not None:
            await self.upstream.aclose()

    async def _unloaded(self, client: RouterClient) -> None:
        """Return when its server is gone, or nothing more can be done about that."""
        if self._order is None:
            return
        gone = self._router.gone
        await _first(self._order, self._overdue, gone)
        work = self._unloading(client)
        unloading = asyncio.get_running_loop().create_task(work, name=f"unload {self._spec.model}")
        await _first(unloading, self._overdue, gone)
        if not (unloading.done() or gone.done()):
            await self._killed()
            await _first(unloading, gone, within=KILLED)
        if not (unloading.done() or gone.done()):
            _log.error(
                "%s: its router `%s` did not unload it", self._spec.model, self._routed.router
            )
        unloading.cancel()
        await asyncio.wait([unloading])

    async def _unloading(self, client: RouterClient) -> None:
        try:
            if self._standing.value == "loaded" and await self._stays_busy(client):
                await self._killed()
            await client.unload(self._there)
            await client.until(self._there, _is_gone)
        except CorralError as error:
            _log.warning(
                "%s: its end at router `%s` is not known: %s",
                self._spec.model,
                self._routed.router,
                error,
            )

    async def _stays_busy(self, client: RouterClient) -> bool:
        """Law 3. A stream that was cut ends at once, an answer that is no stream goes on without anybody to read it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LET_GO):
                while await client.busy(self._there):  # noqa: ASYNC110 (the router tells no events of that)
                    await asyncio.sleep(GLANCE)
                return False
        return True

    async def _killed(self) -> None:
        pid, port = self._router.status().pid, self._standing.port
        if pid is not None and port:
            _log.warning("%s: it does not end; killing its server", self._spec.model)
            await asyncio.to_thread(end_server, pid, port)

    async def _lost(self, ending: Ending, standing: Standing) -> LoadFailed | None:
        """Nobody here has asked for its end."""
        if not standing.failed:
            return refused(self._spec, "has unloaded it, because somebody else wanted that")
        await self._last_words()
        return failure(ending, self._spec, standing.exit_code or 0, self._tail(), "")

    async def _last_words(self) -> None:
        """What its server printed before it ended comes later than the news of that, on another way."""
        if self._router.status().pid is None:
            return
        news = self._ring.follow()
        with contextlib.suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(LAST_WORDS):
                while not any(
                    END in line for line in self._ring.tail(TAIL_LINES, since=self._begin)
                ):
                    await anext(news)

    def _tail(self) -> tuple[str, ...]:
        """Its server's last lines; the router's, when it printed none."""
        lines = self._ring.tail(2 * TAIL_LINES, since=self._begin)
        own = [line for line in lines if line.startswith("[")]
        return tuple((own or lines)[-TAIL_LINES:])

    def _without_router(self) -> LoadFailed | None:
        if not self._router.gone.done():  # asked to stop before there was one
            return None
        return self._router.reason(self._spec.model) or refused(self._spec, "was ended")

    async def _unreachable(self, client: RouterClient, error: CorralError) -> LoadFailed | None:
        """A router that has crashed is first met as a connection that ended. One that has not may have it loaded all the same."""
        if self._routed.launch:
            await _first(self._router.gone, within=LAST_WORDS)
        if self._router.gone.done():
            return self._without_router()
        self._overdue_in(FAILED_GRACE)
        await self._unloaded(client)
        return refused(self._spec, f"does not answer: {error.message}")

    def _overdue_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._alarms.append(loop.call_later(max(0.0, seconds), _settle, self._overdue))


def _is_gone(standing: Standing) -> bool:
    return standing.value == "unloaded"


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _first(*futures: asyncio.Future[Any], within: float | None = None) -> None:
    """Return when the first is done, or the time is up."""
    await asyncio.wait(futures, timeout=within, return_when=asyncio.FIRST_COMPLETED)

"""Routes for people and tools: state, load and unload, checking a configuration.

No handler decides anything about models: each asks the gateway and shapes the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from corral import __version__
from corral.config.load import Source, load
from corral.dialects import listing
from corral.errors import CorralError
from corral.gateway import views
from corral.gateway.exchange import LEFT
from corral.gateway.gateway import Gateway
from corral.server import front, switching, wishes
from corral.server.access import Access

log = logging.getLogger("corral.server")


class Sole(Route):
    """A path that no other route answers, also not with another method."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (Match.FULL if match is Match.PARTIAL else match), child


class Admin:
    """The management routes over one gateway."""

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self._gateway = gateway
        self._access = access
        self._engine = gateway.engine
        self._background: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        get, post, both = ["GET"], ["POST"], ["GET", "POST"]
        return [
            Route("/health", self.health, methods=get),
            Route("/wol-health", self.alive, methods=get),
            Route("/running", self.running, methods=get),
            Route("/api/models", self.states, methods=get),
            Sole("/api/models/load/{model:path}", self.load, methods=post),
            Sole("/api/models/unload", self.unload_all, methods=post),
            Sole("/api/models/unload/{model:path}", self.unload, methods=post),
            Route("/api/models/{model:path}", self.state, methods=get),
            Route("/unload", self.unload_all, methods=both),
            Route("/api/config/check", self.check, methods=post),
            Route("/api/version", self.version, methods=get),
        ]

    # --- state ------------------------------------------------------------------------------------------------------

    async def running(self, request: Request) -> Response:
        config = self._gateway.config
        names = config.format == "guide" or request.query_params.get("format") == "names"
        return JSONResponse(listing.running(map(self._runs, config.models), names=names))

    def _runs(self, model: str) -> listing.Running:
        configured = self._gateway.config.models[model]
        process = self._engine.processes.status(model)
        return listing.Running(
            model,
            self._engine.machine.state(model).value,
            process.cmd,
            process.proxy,
            configured.ttl,
            configured.name,
            configured.description,
        )

    async def states(self, request: Request) -> Response:
        return JSONResponse({"models": views.every(self._gateway)})

    async def state(self, request: Request) -> Response:
        return JSONResponse(views.of(self._gateway, self._named(request)))

    async def health(self, request: Request) -> Response:
        """Always 200 while corral answers; the models only for who may see them."""
        status = {"status": self._status()}
        if not self._access.allows(request.headers.raw):
            return JSONResponse(status)
        machine = self._engine.machine
        states = {m: machine.state(m).value for m in self._gateway.config.models}
        trouble = self._gateway.conversations.store.trouble
        sessions = {"sessions": {"trouble": trouble}} if trouble else {}
        standing = switching.standing(self._gateway)
        return JSONResponse(status | standing | {"models": states} | sessions)

    def _status(self) -> str:
        if self._engine.closing:
            return "stopping"
        return "switching" if self._gateway.switcher.under_way else "ok"

    async def alive(self, request: Request) -> Response:
        return PlainTextResponse("OK")

    async def version(self, request: Request) -> Response:
        return JSONResponse({"version": __version__, "commit": "", "build_date": ""})

    # --- control -----------------------------------------------------------------------------------------------------

    async def load(self, request: Request) -> Response:
        """200 when the model is ready, with what the time went into; 202 at once with `?wait=false`."""
        model = self._named(request)
        if _is(request, "wait", "false"):
            self._spawn(self._quietly(self._engine.load(model)), f"load {model}")
            return JSONResponse({"msg": "loading", "model": model}, 202)
        return await loaded(self._gateway, model, request.scope, request.receive)

    async def unload(self, request: Request) -> Response:
        await self._engine.unload([self._named(request)], force=_is(request, "force", "true"))
        return PlainTextResponse("OK")

    async def unload_all(self, request: Request) -> Response:
        await self._engine.unload(self._gateway.config.models, force=_is(request, "force", "true"))
        if request.url.path == "/unload":
            return PlainTextResponse("OK")
        return JSONResponse({"msg": "ok"})

    async def check(self, request: Request) -> Response:
        """Validate a posted configuration: 200 with what it would mean, 422 with every problem.

        What it takes from the environment is there or not, as for corral itself, but the values are stand-ins: the answer
        repeats what the text says, and must not read corral's environment to whoever asks.
        """
        text = (await wishes.text(request, "a configuration")).decode("utf-8", "replace")
        source = Source(request.query_params.get("name", "posted.yaml"), text)
        # In a thread: a long one takes seconds, and streams go on meanwhile.
        config = await asyncio.to_thread(load, [source], stand_ins(self._gateway.environment))
        return JSONResponse(
            {"ok": True, "models": list(config.models), "notes": list(config.notes)}
        )

    def _named(self, request: Request) -> str:
        return self._gateway.catalog.resolve(request.path_params["model"])

    async def _quietly(self, work: Coroutine[None, None, object]) -> None:
        try:
            await work
        except CorralError as error:
            log.warning("nobody waits for it, but: %s", error.message)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def loaded(
    gateway: Gateway, model: str, scope: front.Scope, receive: front.Receive
) -> Response:
    """Load `model` and answer when it is ready. A client that leaves meanwhile waits no longer; a load that has begun goes on."""
    async with front.watch(scope, receive):
        return JSONResponse(await gateway.loaded(model))
    return Response(status_code=LEFT)


def stand_ins(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables, each with a value of the same kind: a number, a flag, or its own name."""
    return {name: _stand_in(name, value) for name, value in environment.items()}


def _stand_in(name: str, value: str) -> str:
    if value.isascii() and value.isdigit():
        return "1"
    return value if value in ("", "true", "false") else name


def _is(request: Request, name: str, value: str) -> bool:
    return request.query_params.get(name, "").lower() == value

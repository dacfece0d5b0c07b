"""`/upstream/{model}/{path}`: anything for one model's engine, passed through untouched, and the guide's ways to load and unload there.
`/comfyui/{path}` is the same for one model with a name of its own.

1. The model is the longest leading run of path segments that names one (ids may contain slashes); what follows keeps its percent-encoding.
2. Some paths wake no model: those of `upstream.ignorePaths`, and below `/comfyui/` all but `/comfyui/` itself. Browsers ask for them on
   their own, long after their user has left.
"""

from __future__ import annotations

from urllib.parse import unquote

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from corral.config.catalog import Target
from corral.config.relaying import COMFYUI
from corral.errors import ModelNotFound, ModelNotLoaded, NotFound
from corral.gateway.gateway import Gateway
from corral.gateway.relay import Send
from corral.scheduler.machine import State
from corral.server import front
from corral.server.access import Access
from corral.server.admin import loaded
from corral.server.calls import Calls
from corral.server.failures import answer

PREFIX = "/upstream/"
COMFYUI_PREFIX = "/comfyui"
DOORS = (PREFIX, COMFYUI_PREFIX)
"""What the paths begin with that come here."""


class PassThrough:
    """The routes below `/upstream/` and `/comfyui` over one gateway."""

    def __init__(self, gateway: Gateway, access: Access, calls: Calls) -> None:
        self._gateway = gateway
        self._access = access
        self._calls = calls

    async def __call__(self, scope: front.Scope, receive: front.Receive, send: Send) -> None:
        try:
            self._access.check(scope["headers"])
            raw_path = scope["raw_path"].decode("latin-1")
            if raw_path.startswith(COMFYUI_PREFIX):
                target, path = self._comfyui(raw_path)
                response, wakes = _redirected(path, scope), path == "/"
            else:
                target, path = self._split(raw_path)
                response = await self._managed(target, path, scope, receive)
                wakes = self._wakes(target, path)
            if response is None and not wakes:
                self._refuse_unless_ready(target.model)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            response = answer(error, scope)
        if response is not None:
            await response(scope, receive, send)
            return
        await self._calls.on_upstream(target, path, scope, receive, send)

    def _split(self, raw_path: str) -> tuple[Target, str]:
        """The model, and what follows its name: empty, or a path that starts with a slash."""
        rest = raw_path.removeprefix(PREFIX)
        found = self._gateway.routing.split(rest)
        if found is None:
            name = unquote(rest.split("/")[0])
            raise ModelNotFound(f"no model is named {name!r}; GET /v1/models lists them")
        return found

    async def _managed(
        self, target: Target, path: str, scope: front.Scope, receive: front.Receive
    ) -> Response | None:
        """The answer for a path that is corral's own; None: it is the engine's. A peer's models are the peer's to load and unload."""
        model = target.model
        guide = self._gateway.config.format == "guide"
        match scope["method"], path:
            case ("POST", "/load") if not target.peer:
                return await loaded(self._gateway, model, scope, receive)
            case ("GET", "/load") if guide and not target.peer:
                return await loaded(self._gateway, model, scope, receive)
            case ("DELETE", "" | "/") if not target.peer:
                await self._gateway.engine.unload([model], force=guide)
                return PlainTextResponse("OK")
        return _redirected(path, scope)

    def _comfyui(self, raw_path: str) -> tuple[Target, str]:
        path = raw_path.removeprefix(COMFYUI_PREFIX)
        if path and not path.startswith("/"):
            raise NotFound(f"there is no {unquote(raw_path)} here")
        if COMFYUI not in self._gateway.config.models:
            raise ModelNotFound(f"no model of this machine has the id {COMFYUI!r}")
        return Target(COMFYUI, "", COMFYUI), path

    def _wakes(self, target: Target, path: str) -> bool:
        """Law 2; a peer's models are the peer's to wake."""
        plain, ignored = unquote(path), self._gateway.config.upstream.ignore_paths
        return bool(target.peer) or not any(pattern.search(plain) for pattern in ignored)

    def _refuse_unless_ready(self, model: str) -> None:
        if self._gateway.engine.machine.state(model) is not State.READY:
            raise ModelNotLoaded(f"{model} is not loaded, and this path does not load it")


def _redirected(path: str, scope: front.Scope) -> Response | None:
    """To the same with a slash, where nothing follows the name: links of a page would lead elsewhere."""
    if path:
        return None
    query = scope["query_string"].decode("latin-1")
    url = f"{scope['raw_path'].decode('latin-1')}/" + (f"?{query}" if query else "")
    return RedirectResponse(url, 301 if scope["method"] in ("GET", "HEAD") else 308)

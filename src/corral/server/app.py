"""The HTTP face as one ASGI application: requests for a model go straight to the gateway, the rest to Starlette.

1. A request for a model never passes through a framework: one dictionary look-up decides.
2. Every failure that corral itself answers with comes from `responses.render`.
"""

from __future__ import annotations

import contextlib

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from corral.dialects import endpoints
from corral.errors import CorralError
from corral.gateway.gateway import Gateway
from corral.gateway.relay import Send
from corral.server import cors, explain, front, page, profiles, reload, switching, upgrade
from corral.server.access import OPEN, Access
from corral.server.activity import Activity
from corral.server.admin import Admin
from corral.server.calls import Calls
from corral.server.events import Events
from corral.server.failures import abandoned, answer, failed, misdirected, not_allowed
from corral.server.feeds import Feeds
from corral.server.listing import Listing
from corral.server.metrics import Metrics
from corral.server.passthrough import DOORS, PassThrough
from corral.server.request_log import RequestLog
from corral.server.sessions import Sessions


class App:
    """corral's HTTP face over one gateway, for any ASGI server (quickest under uvicorn with `http=Front`)."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = Access(gateway.config.api_keys)
        gateway.inforce.watch(lambda config: self._access.adopt(config.api_keys))
        self._calls = Calls(gateway, self._access)
        self._through = PassThrough(gateway, self._access, self._calls)
        admin, feeds, events = Admin(gateway, self._access), Feeds(gateway), Events(gateway)
        rest = Starlette(
            routes=[
                *Listing(gateway).routes(),
                *admin.routes(),
                *explain.routes(gateway),
                *switching.routes(gateway),
                *reload.routes(gateway),
                *feeds.routes(),
                *events.routes(),
                *Metrics(gateway).routes(),
                *Activity(gateway).routes(),
                *Sessions(gateway).routes(),
                *profiles.routes(gateway),
                *page.routes(gateway, self._access),
            ],
            exception_handlers={
                CorralError: failed,
                HTTPException: misdirected,
                ClientDisconnect: abandoned,
                Exception: failed,
            },
        )
        rest.router.redirect_slashes = False  # its redirects trust the Host header
        self._rest: ASGIApp = rest
        self.requests = RequestLog()

    async def __call__(self, scope: front.Scope, receive: front.Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await upgrade.refuse(scope, send)
            return
        noted = self.requests.noted(scope, send)
        if noted is None:
            await self._answer(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, noted)
        finally:
            self.requests.add(noted)

    async def _answer(self, scope: front.Scope, receive: front.Receive, send: Send) -> None:
        path: str = scope["path"]
        endpoint = endpoints.find(scope["method"], path)
        if endpoint is not None:
            send = cors.readable(scope["headers"], send)
            await self._calls.on_route(endpoint, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await cors.preflight(scope["headers"], send)
        elif path.startswith(DOORS):
            await self._through(scope, receive, cors.readable(scope["headers"], send))
        else:
            await self._manage(path, scope, receive, send)

    async def _manage(
        self, path: str, scope: front.Scope, receive: front.Receive, send: Send
    ) -> None:
        app = self._rest
        if path.startswith(cors.READABLE):
            send = cors.readable(scope["headers"], send)
        try:
            if path not in OPEN:
                self._access.check(scope["headers"])
            if allowed := endpoints.allowed(path):
                raise not_allowed(scope["method"], allowed)
        except CorralError as error:
            app = answer(error, scope)
        with contextlib.suppress(Exception):  # answered and logged; Starlette raises it once more
            await app(scope, receive, send)

"""Text that keeps coming: corral's own log, all models' output and each one's, as llama-swap's clients read them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from corral.errors import CorralError, InvalidRequest, ModelNotFound
from corral.gateway.gateway import Gateway
from corral.gateway.ports import Log
from corral.gateway.relay import ClientLeft
from corral.server import front

LIVE = {
    "X-Accel-Buffering": "no",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}
"""What keeps those between corral and the reader from holding the text back, and the reader from guessing what it is."""


log = logging.getLogger("corral.server")


class Feeds:
    """`/logs` and `/logs/stream[/{name}]` over one gateway; a name is `proxy`, `upstream`, or a model's."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        logs = gateway.logs
        self._named = {"": logs.printed, "proxy": logs.own, "upstream": logs.models}

    def routes(self) -> list[Route]:
        return [
            Route("/logs", self.own, methods=["GET"]),
            Route("/logs/stream", self.stream, methods=["GET"]),
            Route("/logs/stream/{name:path}", self.stream, methods=["GET"]),
            Route("/logs/{name:path}", self.history, methods=["GET"]),
        ]

    async def own(self, request: Request) -> Response:
        """What goes to stdout; a person with a browser is shown to the page, as by llama-swap."""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/ui/", 302, {"Vary": "Accept"})
        return await self.history(request)

    async def history(self, request: Request) -> Response:
        """What the ring holds."""
        return PlainTextResponse(self._log(request.path_params.get("name", "")).history())

    async def stream(self, request: Request) -> Response:
        """History first (unless `?no-history`), then what comes, until corral stops or the reader leaves."""
        log = self._followed(request.path_params.get("name", ""))
        if request.method == "HEAD":
            return PlainTextResponse(headers=LIVE)
        first = b"" if "no-history" in request.query_params else log.history()
        return Live(first, log.follow())

    def _log(self, name: str) -> Log:
        return self._named.get(name) or self._gateway.log(name)

    def _followed(self, name: str) -> Log:
        try:
            return self._log(name)
        except ModelNotFound as error:  # llama-swap's status for it
            raise InvalidRequest(f"no such log: {error.message}, `proxy` and `upstream`") from None


class Live(Response):
    """Text that goes on. Its reader is forgotten the moment the client leaves, also in the middle of a `send`.

    Where it fails it does not look whole: the connection is cut.
    """

    def __init__(
        self, first: bytes, news: AsyncIterator[bytes], media_type: str = "text/plain"
    ) -> None:
        super().__init__(headers=LIVE, media_type=media_type)
        del self.headers["content-length"]  # there is no telling
        self._first = first
        self._news = news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with front.watch(scope, receive) as client:
            try:
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
                async for piece in self._news:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                client.finished()
                await send({"type": "http.response.body", "body": b""})
            except CorralError as error:
                log.warning("%s is cut off: %s", scope["path"], error.message)
                client.cut()
            except OSError as error:  # ASGI 2.4: what `send` raises once the client is gone
                raise ClientLeft from error

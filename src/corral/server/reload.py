"""`POST /api/reload`: the configuration is read again; what that changed, or every problem."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.gateway.gateway import Gateway


def routes(gateway: Gateway) -> list[Route]:
    """The one route, over one gateway. It answers when the new configuration is in force; models drain and load after that."""

    async def reload(request: Request) -> Response:
        return JSONResponse({"ok": True, **asdict(await gateway.reloader.reload())})

    return [Route("/api/reload", reload, methods=["POST"])]

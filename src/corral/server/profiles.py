"""`/api/profiles`: which there are, which is active, and making another one active. The shapes are llama-swap's."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.gateway.gateway import Gateway
from corral.server import wishes

_WRONG = 'the body must be {"name": "PROFILE"} or {"name": null}'


class Wish(msgspec.Struct):
    """Which profile is to be active; null: none."""

    name: str | None


def routes(gateway: Gateway) -> list[Route]:
    """The two routes, over one gateway."""
    routing = gateway.routing

    async def listed(_request: Request) -> Response:
        profiles = gateway.config.profiles
        rows = [
            {"id": name, "description": profiles[name].description, "pins": _pins(gateway, name)}
            for name in sorted(profiles)
        ]
        return JSONResponse({"active": routing.active, "profiles": rows})

    async def activate(request: Request) -> Response:
        wish = await wishes.read(request, Wish, _WRONG)
        routing.activate(wish.name)
        return JSONResponse({"active": routing.active})

    return [
        Route("/api/profiles", listed, methods=["GET"]),
        Route("/api/profiles/active", activate, methods=["PUT"]),
    ]


def _pins(gateway: Gateway, name: str) -> dict[str, str]:
    return dict(gateway.config.profiles[name].pins)

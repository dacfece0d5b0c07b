"""`/api/metrics/activity`, `/api/metrics/stats`, `/api/captures/{id}` and `/api/inflight`: what is remembered of requests, and which are
under way. Shapes and parameters are llama-swap's; `GET /api/inflight` is corral's own.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.dialects import activity as shapes
from corral.errors import Cancelled, InvalidRequest, NotFound
from corral.gateway import inflight
from corral.gateway.gateway import Gateway


class Activity:
    """The routes over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._ledger = gateway.ledger
        self._activity = gateway.activity

    def routes(self) -> list[Route]:
        return [
            Route("/api/metrics/activity", self.page, methods=["GET"]),
            Route("/api/metrics/stats", self.stats, methods=["GET"]),
            Route("/api/captures/{id}", self.capture, methods=["GET"]),
            Route("/api/inflight", self.in_flight, methods=["GET"]),
            Route("/api/inflight/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        wanted = shapes.wanted(request.query_params.multi_items())
        total, rows = await self._activity.page(wanted)
        return JSONResponse(shapes.page(rows, total, wanted, self._activity.captures))

    async def stats(self, request: Request) -> Response:
        model = request.query_params.get("model", "").strip()
        return JSONResponse(shapes.stats(await self._activity.stats(model)))

    async def capture(self, request: Request) -> Response:
        """200 with the capture; 404 when there never was one, or it has made room for later ones."""
        number = _number(request.path_params["id"])
        if number not in self._activity.captures:
            raise NotFound(f"there is no capture {number}, or no longer")
        # In a thread: a long one is unpacked first.
        return JSONResponse(await asyncio.to_thread(self._activity.captures[number].shown))

    async def in_flight(self, request: Request) -> Response:
        return JSONResponse({"requests": inflight.listed(self._ledger)})

    async def cancel(self, request: Request) -> Response:
        number = request.path_params["id"]
        exchange = self._ledger.in_flight.get(int(number)) if _is_number(number) else None
        if exchange is None:
            raise NotFound(f"no request {number} is in flight; GET /api/inflight lists them")
        exchange.cancel(Cancelled("this request was cancelled"))
        return JSONResponse({"msg": "ok"})


def _number(text: str) -> int:
    if not _is_number(text.removeprefix("-")):
        raise InvalidRequest("a capture's id is a whole number")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20

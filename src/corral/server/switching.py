"""`POST /admin/switch`: another model is made the active one. `GET /admin/state`: how things stand. The shapes are hotmodel's."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.gateway.exchange import LEFT
from corral.gateway.gateway import Gateway
from corral.gateway.settling import Reading
from corral.gateway.switch import Report
from corral.server import front, wishes


class Wish(msgspec.Struct):
    """Which model is to be the active one."""

    model: str


def routes(gateway: Gateway) -> list[Route]:
    """The two routes, over one gateway."""

    async def switch(request: Request) -> Response:
        """Answers when it is done. What a client that leaves changes is in `gateway/switching.py`."""
        wish = await wishes.read(request, Wish, 'the body must be {"model": "NAME"}')
        async with front.watch(request.scope, request.receive):
            return JSONResponse(report(await gateway.switcher.switch(wish.model)))
        return Response(status_code=LEFT)

    async def state(_request: Request) -> Response:
        return JSONResponse(standing(gateway))

    return [
        Route("/admin/switch", switch, methods=["POST"]),
        Route("/admin/state", state, methods=["GET"]),
    ]


def report(done: Report) -> dict[str, Any]:
    """A switch, for JSON: seconds and MiB."""
    before, unloaded, settled, loaded = map(_reading, done.memory)
    return {
        "previous_model": done.previous,
        "active_model": done.model,
        "elapsed_seconds": round(done.elapsed, 4),
        "phases": {
            "drain": round(done.drain, 4),
            "unload": round(done.unload, 4),
            "settle": round(done.settle, 4),
            "load": round(done.load, 4),
        },
        "gpu_settled": done.settled,
        "gpu_memory": {
            "before_unload": before,
            "after_unload": unloaded,
            "after_settle": settled,
            "after_load": loaded,
        },
    }


def _reading(reading: Reading) -> dict[str, Any]:
    cards = reading.per_gpu_mb
    return reading._asdict() | {"per_gpu_mb": None if cards is None else list(cards)}


def standing(gateway: Gateway) -> dict[str, Any]:
    """What hotmodel tells of itself, of corral. `inflight_chats` are the requests that models answer now."""
    machine, config = gateway.engine.machine, gateway.config
    return {
        "active_model": gateway.routing.active_model,
        "switching": gateway.switcher.under_way is not None,
        "models": list(config.models),
        "backend_mode": "router" if config.routers else "process",
        "process_running": any(map(machine.is_loaded, config.models)),
        "router_running": any(gateway.engine.processes.routers().values()),
        "inflight_chats": sum(map(machine.in_flight, config.models)),
    }

"""`/metrics`, `/api/performance`, `/api/hardware`: what corral counts, what its machine does, and what it is.

`/metrics` always answers: without `performance`, the `llamaswap_*` gauges are not in it, and everything else is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from corral.dialects.moments import moment, timestamp
from corral.gateway import footprint
from corral.gateway.gateway import Gateway
from corral.gateway.gathering import Gathering
from corral.gateway.meters import Meters
from corral.gateway.metrics import Family
from corral.gateway.performance import memory_share
from corral.gateway.ports import Gpu, Machine

if TYPE_CHECKING:
    from corral.server.exposition import Exposition

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MIB = 2**20


class Metrics:
    """The routes over one gateway. Counts from the moment it is made."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._meters = Meters(gateway.inforce, gateway.engine, gateway.ledger)
        self._gathering = Gathering(gateway.engine)

    def routes(self) -> list[Route]:
        return [
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/api/performance", self.performance, methods=["GET"]),
            Route("/api/hardware", self.hardware, methods=["GET"]),
        ]

    async def metrics(self, request: Request) -> Response:
        told, measured = await asyncio.gather(self._gathering.told(), self._measured())
        parking = self._gateway.conversations.parking
        parked = parking.families() if parking else []
        own = [*self._meters.families(), *measured, *parked]
        # In a thread: an engine may tell thousands of lines, and streams go on meanwhile.
        exposition = await asyncio.to_thread(_rendered, own, dict(told))
        for model, why in exposition.refused.items():
            self._gathering.refuse(model, why)
        return Response(exposition.text, media_type=MEDIA_TYPE)

    async def _measured(self) -> list[Family]:
        performance = self._gateway.performance
        if performance is None:
            return []
        found = await footprint.footprints(self._gateway.engine, performance.probes)
        return [*footprint.families(found), *performance.families()]

    async def performance(self, request: Request) -> Response:
        after = moment("after", request.query_params.get("after", ""))
        performance = self._gateway.performance
        if performance is None or not performance.enabled:
            return JSONResponse({"enabled": False}, 503)
        samples = performance.since(after)
        return JSONResponse(
            {
                "enabled": True,
                "sys_stats": [_machine(at, one.machine) for at, one in samples if one.machine],
                "gpu_stats": [_card(at, card) for at, one in samples for card in one.cards],
            }
        )

    async def hardware(self, request: Request) -> Response:
        performance = self._gateway.performance
        found = await performance.hardware() if performance else None
        if found is None:
            return PlainTextResponse("hardware detection unavailable", 503)
        return JSONResponse(found)


def _rendered(own: list[Family], told: dict[str, str | None]) -> Exposition:
    from corral.server.exposition import rendered  # noqa: PLC0415 - 50 ms, for those who scrape

    return rendered(own, told)


def _machine(at: int, machine: Machine) -> dict[str, Any]:
    """As llama-swap shows it: in whole MiB."""
    return {
        "timestamp": timestamp(at),
        "cpu_util_per_core": machine.cores,
        "mem_total_mb": machine.memory_total // MIB,
        "mem_used_mb": machine.memory_used // MIB,
        "mem_free_mb": machine.memory_free // MIB,
        "swap_total_mb": machine.swap_total // MIB,
        "swap_used_mb": machine.swap_used // MIB,
        "load_avg_1": machine.load[0],
        "load_avg_5": machine.load[1],
        "load_avg_15": machine.load[2],
        "net_io": [
            {"name": name, "bytes_recv": received, "bytes_sent": sent}
            for name, received, sent in machine.network
        ],
    }


def _card(at: int, card: Gpu) -> dict[str, Any]:
    """As llama-swap shows it: 0 for what the card does not say."""
    return {
        "timestamp": timestamp(at),
        "id": card.id,
        "name": card.name,
        "uuid": card.uuid,
        "temp_c": int(card.temperature or 0),
        "vram_temp_c": int(card.memory_temperature or 0),
        "gpu_util_pct": card.busy or 0,
        "mem_util_pct": memory_share(card) or 0,
        "mem_used_mb": (card.memory_used or 0) // MIB,
        "mem_total_mb": (card.memory_total or 0) // MIB,
        "fan_speed_pct": card.fan or 0,
        "power_draw_w": card.power or 0,
    }

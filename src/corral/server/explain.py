"""`/api/explain?model=M`: what would become of one more request for a model, and why. A rehearsal: nothing is changed by asking."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.errors import ModelRequired
from corral.gateway.explaining import explained
from corral.gateway.gateway import Gateway


def routes(gateway: Gateway) -> list[Route]:
    """The one route, over one gateway. Names, aliases and `active` are understood as in a request."""

    async def explain(request: Request) -> Response:
        name = request.query_params.get("model", "")
        if not name:
            raise ModelRequired("which model? GET /api/explain?model=NAME")
        return JSONResponse(explained(gateway.engine, gateway.routing.local(name)))

    return [Route("/api/explain", explain, methods=["GET"])]

"""What a management route answers to a failure: OpenAI's shape, whose clients list models."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from corral.dialects.openai import OPENAI
from corral.errors import MethodNotAllowed, NotFound
from corral.gateway.exchange import LEFT
from corral.server import front, responses
from corral.wire.headers import find

log = logging.getLogger("corral.server")


def answer(error: Exception, scope: front.Scope) -> Response:
    """The failure as a response; one that is nobody's is logged with its request id."""
    request_id = front.request_id(scope)
    accept = find(scope["headers"], b"accept")
    rendered = responses.render(error, OPENAI, request_id=request_id, accept=accept)
    if rendered.status == 500:
        log.error("%s: %s %s failed", request_id, scope["method"], scope["path"], exc_info=error)
    response = Response(rendered.body, rendered.status)
    response.raw_headers = rendered.headers
    return response


def not_allowed(method: str, allowed: Sequence[str]) -> MethodNotAllowed:
    """The path is there, the method is not."""
    return MethodNotAllowed(
        f"{method} is not answered here; use {' or '.join(allowed)}", allowed=allowed
    )


async def failed(request: Request, error: Exception) -> Response:
    """Starlette's handler for whatever a route raises."""
    return answer(error, request.scope)


async def abandoned(request: Request, error: Exception) -> Response:
    """Starlette's handler for a client that left in the middle of its request: nobody reads this."""
    return Response(status_code=LEFT)


async def misdirected(request: Request, error: Exception) -> Response:
    """Starlette's handler for a path that it does not know, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        return answer(not_allowed(request.method, allowed), request.scope)
    return answer(NotFound(f"there is no {request.url.path} here"), request.scope)

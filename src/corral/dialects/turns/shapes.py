"""Which routes are conversations. Routes that count tokens are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from corral.dialects.endpoints import ENDPOINTS, Endpoint
from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES
from corral.dialects.turns.shape import Shape

_SHAPES: Final[Mapping[str, Shape]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": ANTHROPIC,
    "/v1/responses": RESPONSES,
}
_FOUND: Final = {
    row.path: shape
    for path, shape in _SHAPES.items()
    for row in ENDPOINTS
    if row.upstream in (path, path.removeprefix("/v1"))
}


def shape_of(endpoint: Endpoint) -> Shape | None:
    """How this route's bodies and answers say a conversation; None when they say none."""
    return _FOUND.get(endpoint.path)

"""Anthropic's errors: {"type": "error", "error": {type, message}}, in a stream as an `error` event with the same object.

`code` and what else is known of an error stand beside `message`, where the official client lets them through.
"""

from __future__ import annotations

import msgspec

from corral.dialects.dialect import Body, Dialect, details, message
from corral.errors import CorralError, LoadFailed
from corral.wire import sse

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def shape(error: CorralError, status: int) -> Body:
    """The body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if status == 503 and isinstance(error, LoadFailed):
        kind = "api_error"  # nothing is overloaded, and clients that back off from it would wait for nothing
    inner = {"type": kind, "message": message(error), "code": error.code}
    return {"type": "error", "error": {**inner, **details(error)}}


def event(error: CorralError, status: int) -> bytes:
    """An error in a stream; the client raises on it."""
    return sse.encode(msgspec.json.encode(shape(error, status)).decode(), event="error")


ANTHROPIC = Dialect("anthropic", shape, event)

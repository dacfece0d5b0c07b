"""llama-server's errors: {"error": {code, message, type}}, in a stream as an event with the same object.

llama-server puts the status into `code`; here it is corral's, which says more, and the status is the answer's own.
"""

from __future__ import annotations

import msgspec

from corral.dialects.dialect import Body, Dialect, details, message
from corral.errors import CorralError
from corral.wire import sse

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


def shape(error: CorralError, status: int) -> Body:
    """The body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    inner = {"code": error.code, "message": message(error), "type": kind}
    return {"error": {**inner, **details(error)}}


def event(error: CorralError, status: int) -> bytes:
    """An error in a stream."""
    return sse.encode(msgspec.json.encode(shape(error, status)).decode())


LLAMACPP = Dialect("llamacpp", shape, event)

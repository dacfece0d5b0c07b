"""OpenAI's errors: {"error": {message, type, param, code}}, in a stream as an event with the same object.

The official client raises on any event whose data has an `error`. The Responses API's own error event is `{"type": "error", code, message,
param, sequence_number}`; the client would hand that out as one more event, so ours carries `error` as well.
"""

from __future__ import annotations

import msgspec

from corral.dialects.dialect import Body, Dialect, details, message
from corral.errors import CorralError, ModelNotFound, ModelRequired
from corral.wire import sse

_TYPES = {401: "authentication_error", 403: "authentication_error", 429: "rate_limit_error"}


def shape(error: CorralError, status: int) -> Body:
    """The body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = "model" if isinstance(error, ModelRequired | ModelNotFound) else None
    inner = {"message": message(error), "type": kind, "param": param, "code": error.code}
    return {"error": {**inner, **details(error)}}


def chat_event(error: CorralError, status: int) -> bytes:
    """An error in a stream of chunks; no `[DONE]` follows it."""
    return sse.encode(_text(shape(error, status)))


def response_event(error: CorralError, status: int) -> bytes:
    """An error in a stream of the Responses API."""
    body = shape(error, status)
    own = {key: body["error"][key] for key in ("code", "message", "param")}
    # How many events the client has seen is not known here; the number is required, 0 is never a later event's.
    event = {"type": "error", "sequence_number": 0} | own | body
    return sse.encode(_text(event), event="error")


def _text(body: Body) -> str:
    return msgspec.json.encode(body).decode()


OPENAI = Dialect("openai", shape, chat_event)
RESPONSES = Dialect("responses", shape, response_event)

"""Failures to answers: one table from class to status, looked up along the MRO.

What a failure looks like to the caller is its dialect's business; what it is called, and its message, its own (`errors.py`). An exception
that is nobody's becomes `internal_error`: the caller learns the request id, the log has the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from corral import errors
from corral.dialects.dialect import Dialect
from corral.errors import CorralError
from corral.server import written

STATUS: dict[type[CorralError], int] = {
    errors.CorralError: 500,
    errors.InvalidRequest: 400,
    errors.ModelRequired: 400,
    errors.ContextTooLong: 400,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.ProfileNotFound: 404,
    errors.SessionNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.ModelNotLoaded: 409,
    errors.SessionBusy: 409,
    errors.DrainTimeout: 409,
    errors.BodyTooLarge: 413,
    errors.ConfigError: 422,
    errors.ConcurrencyLimit: 429,
    errors.QueueFull: 429,
    errors.Cancelled: 499,  # as nginx and gRPC have it; no client tries that again by itself
    errors.WebSocketUnavailable: 501,
    errors.UpstreamUnreachable: 502,
    errors.UpstreamInvalid: 502,
    errors.UpstreamRefused: 502,
    errors.QueueTimeout: 503,
    errors.ModelUnloaded: 503,
    errors.LoadFailed: 503,
    errors.NotStored: 503,
    errors.ShuttingDown: 503,
    errors.LoadTimeout: 504,
    errors.UpstreamTimeout: 504,
}

CHALLENGE = (b"www-authenticate", b'Basic realm="corral"')
"""Basic, since browsers know how to ask for it; a Bearer token and `x-api-key` are taken as well."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer, ready to send."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def status(error: CorralError) -> int:
    """The HTTP status of a failure."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def known(error: BaseException, *, request_id: str) -> CorralError:
    """The failure itself, or `internal_error` for an exception that is nobody's. Log those: the caller is told to look there."""
    if isinstance(error, CorralError):
        return error
    return CorralError(
        f"corral failed at this request; its log has the reason under request id {request_id}"
    )


def render(
    error: BaseException, dialect: Dialect, *, request_id: str, accept: bytes | None = None
) -> Rendered:
    """The answer for a failure, before the first byte of another answer has gone out.

    It is JSON, unless `accept` (the request's field) asks for text or a page and has no word of JSON. A 429 always is: it is for programs.
    """
    failure = known(error, request_id=request_id)
    code = status(failure)
    form = None if code == 429 else written.wanted(accept or b"")
    kind = form.kind if form else b"application/json"
    body = (form.write if form else dialect.body)(failure, code, request_id=request_id)
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode("latin-1", "replace")),
        *_hints(failure),
    ]
    return Rendered(code, headers, body)


def _hints(error: CorralError) -> Iterator[tuple[bytes, bytes]]:
    """Headers that tell a client what to do next."""
    if error.retry_after is not None:
        yield b"retry-after", b"%d" % max(math.ceil(error.retry_after), 0)
    match error:
        case errors.Unauthorized():
            yield CHALLENGE
        case errors.MethodNotAllowed():
            yield b"allow", ", ".join(error.allowed).encode()


def render_event(error: BaseException, dialect: Dialect, *, request_id: str) -> bytes:
    """The last bytes of an event stream that fails; cut the connection behind them, without an ending chunk.

    They begin with blank lines: the engine may have died in the middle of an event, which must not swallow this one.
    """
    failure = known(error, request_id=request_id)
    event = dialect.stream(failure, status(failure))
    return event and b"\n\n" + event

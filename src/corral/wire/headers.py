"""Header fields: which of them a relay passes on, and how the few that corral reads or writes are spelled.

Laws:
1. Names are lower case here; whoever parses a message lowers them once.
2. Nothing here fails: what cannot be read is None.
"""

from __future__ import annotations

import re
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

# RFC 9110 7.6.1, and the fields of the obsolete RFC 2616 13.5.1 that proxies still drop.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The body has been read by the time a request is passed on: its length is set anew, and the 100 was corral's to send.
_NOT_PASSED_ON = HOP_BY_HOP | {b"content-length", b"expect"}
_USUAL = (
    b"keep-alive",
    b"close",
    b"Keep-Alive",
)  # values of `Connection` that name no field, or one dropped anyway
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def find(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a field, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def connection_tokens(headers: Headers) -> frozenset[bytes]:
    """What every `Connection` field names, in lower case (RFC 9110 7.6.1)."""
    values = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(token.strip().lower() for token in values.split(b",")) - {b""}


def asks_for_websocket(headers: Headers) -> bool:
    """`Connection` names `upgrade` and `Upgrade` names `websocket` (RFC 6455 4.1), among whatever else."""
    named = b",".join(value for name, value in headers if name == b"upgrade")
    if b"websocket" not in [token.strip().lower() for token in named.split(b",")]:
        return False
    return b"upgrade" in connection_tokens(headers)


def request_headers(headers: Headers) -> Headers:
    """What of a client's fields goes on to an engine: nothing hop-by-hop, no length, no `Expect`."""
    return _without(headers, _NOT_PASSED_ON)


def answer_headers(headers: Headers) -> Headers:
    """What of an engine's fields goes on to the client: nothing hop-by-hop. The length stays."""
    return _without(headers, HOP_BY_HOP)


def _without(headers: Headers, names: frozenset[bytes]) -> Headers:
    for name, value in headers:
        if name == b"connection" and value not in _USUAL:
            names |= connection_tokens(headers)
            break
    return [header for header in headers if header[0] not in names]


def media_type(value: bytes | None) -> bytes:
    """`text/event-stream` of `Text/Event-Stream; charset=utf-8` (RFC 9110 8.3.1); empty when there is none."""
    return value.partition(b";")[0].strip().lower() if value else b""


def content_length(headers: Headers) -> int | None:
    """The declared length in bytes; None when there is none, or none that can be read."""
    value = find(headers, b"content-length")
    return int(value) if value and value.isdigit() else None


def phrase(status: int) -> str:
    """What a status is called (RFC 9110 15): `Not Found` of 404; empty for one without a name."""
    return _PHRASES.get(status, "")


def request_id(value: bytes | None) -> str | None:
    """A client's `X-Request-Id` when it is fit to be repeated and logged: 1 to 128 visible ASCII characters."""
    return value.decode("ascii") if value and _REQUEST_ID.fullmatch(value) else None

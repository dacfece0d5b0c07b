"""Header fields as they may be shown: what opens a door is left out.

1. A field whose name says that it holds a secret keeps its name and loses its value.
2. So does a secret in the query of a URL, in whichever field.
"""

from __future__ import annotations

import re
from functools import lru_cache

from corral.wire.headers import Headers

REDACTED = b"[REDACTED]"

_USUAL = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"host",
        b"keep-alive",
        b"server",
        b"transfer-encoding",
        b"user-agent",
        b"x-corral-load-ms",
        b"x-corral-model",
        b"x-corral-queue-ms",
        b"x-request-id",
    }
)
"""Nothing to look for: most fields of most messages."""

_SECRET = re.compile(
    rb"authorization|cookie|api[-_]?key|secret|passw|credential"
    rb"|(^|[-_])(token|auth|key|jwt|signature)$"
)
_IN_QUERY = re.compile(
    rb"([?&][^=&\s]*(?:key|token|auth|secret|passw|signature|jwt)[^=&\s]*=)[^&\s#]+", re.IGNORECASE
)


def redacted(headers: Headers) -> Headers:
    """The fields, without their secrets. Names are lower case."""
    return [header if header[0] in _USUAL else _shown(*header) for header in headers]


def texts(headers: Headers) -> dict[str, str]:
    """Name to value, for JSON; the values of a field that comes more than once are joined (RFC 9110 5.3)."""
    shown: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        shown[key] = f"{shown[key]}, {text}" if key in shown else text
    return shown


def _shown(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if _is_secret(name):
        return name, REDACTED
    if b"=" in value:
        value = _IN_QUERY.sub(rb"\1" + REDACTED, value)
    return name, value


@lru_cache(1024)
def _is_secret(name: bytes) -> bool:
    return _SECRET.search(name) is not None

"""Points in time as text (RFC 3339) and as a number (epoch milliseconds, which is as fine as they are kept)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from corral.errors import InvalidRequest

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def moment(name: str, text: str) -> int | None:
    """What the query parameter `name` says; None when it says nothing. Raises InvalidRequest."""
    text = text.upper().replace(" ", "+")  # a plus that was not encoded
    if not text:
        return None
    if _RFC3339.fullmatch(text):
        with suppress(ValueError):  # such as a 31st of June
            return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    example = "2026-01-31T12:00:00Z"
    raise InvalidRequest(f"`{name}` must be a time like {example} (RFC 3339)")


def timestamp(at: int) -> str:
    """`2026-01-31T12:00:00.000Z`."""
    text = (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")

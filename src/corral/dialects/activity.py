"""What is remembered of requests, as llama-swap's clients ask for it and read it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.dialects.moments import moment, timestamp
from corral.errors import InvalidRequest
from corral.wire.headers import Headers
from corral.wire.redaction import texts

Value = int | float | str
Row = Sequence[Value]
"""An id, then what `FIELDS` says."""

FIELDS: Final = (
    "at",
    "model",
    "req_path",
    "resp_content_type",
    "resp_status_code",
    "cache_tokens",
    "draft_tokens",
    "draft_acc_tokens",
    "input_tokens",
    "output_tokens",
    "prompt_per_second",
    "tokens_per_second",
    "duration_ms",
    "error_msg",
    "metadata",
)
"""`at` is epoch milliseconds; unknown numbers are -1; `metadata` is a JSON object or empty."""

Histogram = tuple[list[int], float, float, float, float, float, float]
"""Bins of equal width, the lowest and the highest value, the width, and the 50th, 95th and 99th percentile."""
Stats = tuple[int, int, int, int, Histogram | None, Histogram | None]
"""Requests, tokens in, out and cached, and how prompt and generation speeds are spread."""

SORTS: Final = {
    "id": "id",
    "time": "at",
    "model": "model",
    "req_path": "req_path",
    "resp_status_code": "resp_status_code",
    "resp_content_type": "resp_content_type",
    "cached": "cache_tokens",
    "prompt": "input_tokens",
    "generated": "output_tokens",
    "drafted": "draft_tokens",
    "prompt_speed": "prompt_per_second",
    "gen_speed": "tokens_per_second",
    "duration": "duration_ms",
}
"""What one may sort by, and the field it is."""

PAGE: Final = 25
LARGEST_PAGE: Final = 999
_LARGEST: Final = 2**31
"""Of ids and pages. More than there will be, and pages of that many rows still count in 64 bits."""


# --- asking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows, and in which order. Times are epoch milliseconds, bounds are inclusive; no models: all."""

    models: Sequence[str] = ()
    start: int | None = None
    end: int | None = None
    min_id: int | None = None
    max_id: int | None = None
    column: str = "id"
    descending: bool = True
    limit: int = PAGE
    page: int = 1

    @property
    def offset(self) -> int:
        """Rows on the pages before."""
        return (self.page - 1) * self.limit


def wanted(parameters: Iterable[tuple[str, str]]) -> Wanted:
    """What a query string asks for; only `model` may come more than once, and an empty value counts for nothing. Raises InvalidRequest."""
    pairs = [(name, text.strip()) for name, text in parameters if text.strip()]
    given = dict(reversed(pairs))  # the first one counts
    asked = Wanted(
        [text for name, text in pairs if name == "model"],
        moment("start", given.get("start", "")),
        moment("end", given.get("end", "")),
        _number(given, "min_id"),
        _number(given, "max_id"),
        _one_of(given, "sort", SORTS, "id"),
        _one_of({n: t.lower() for n, t in given.items()}, "order", _ORDERS, "desc"),
        _number(given, "limit", LARGEST_PAGE) or PAGE,
        _number(given, "page") or 1,
    )
    _ordered("start", asked.start, "end", asked.end)
    _ordered("min_id", asked.min_id, "max_id", asked.max_id)
    return asked


_ORDERS: Final = {"asc": False, "desc": True}


def _one_of(given: dict[str, str], name: str, table: dict[str, Any], default: str) -> Any:
    text = given.get(name, default)
    if text not in table:
        raise InvalidRequest(f"`{name}` must be one of {', '.join(table)}")
    return table[text]


def _number(given: dict[str, str], name: str, most: int = _LARGEST) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    if number < 1 or (number > most and most is not _LARGEST):
        bounds = "at least 1" if most is _LARGEST else f"between 1 and {most}"
        raise InvalidRequest(f"`{name}` must be a number, {bounds}")
    return min(number, most)


def _ordered(first: str, low: int | None, second: str, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        raise InvalidRequest(f"`{first}` must not lie behind `{second}`")


# --- answering -----------------------------------------------------------------------------------------------------


def page(
    rows: Iterable[Row], total: int, asked: Wanted, captured: Container[int]
) -> dict[str, Any]:
    """One page of the table; `captured` are the ids that have a capture."""
    return {
        "data": [_entry(row, captured) for row in rows],
        "page": asked.page,
        "limit": asked.limit,
        "total": total,
        "total_pages": -(-total // asked.limit),
    }


def _entry(row: Row, captured: Container[int]) -> dict[str, Any]:
    number, found = row[0], dict(zip(FIELDS, row[1:], strict=True))
    at, metadata = found.pop("at"), found.pop("metadata")
    tokens = {name: found.pop(name) for name in FIELDS[5:12]}
    error = found.pop("error_msg")
    return {
        "id": number,
        "timestamp": timestamp(int(at)),
        **found,
        "tokens": tokens,
        "has_capture": number in captured,
        **({"error_msg": error} if error else {}),
        **({"metadata": json.loads(str(metadata))} if metadata else {}),
    }


def stats(found: Stats) -> dict[str, Any]:
    """Totals, and the histograms of both speeds; None for one without values."""
    requests, tokens_in, tokens_out, cached, prompt, generation = found
    return {
        "total_requests": requests,
        "total_input_tokens": tokens_in,
        "total_output_tokens": tokens_out,
        "total_cache_tokens": cached,
        "prompt_histogram": _histogram(prompt),
        "gen_histogram": _histogram(generation),
    }


_HISTOGRAM: Final = ("bins", "min", "max", "binSize", "p50", "p95", "p99")


def _histogram(found: Histogram | None) -> dict[str, Any] | None:
    return found and dict(zip(_HISTOGRAM, found, strict=True))


def capture(
    number: int,
    path: str,
    request: tuple[Headers, bytes],
    answer: tuple[Headers, bytes],
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """A request and its answer, each as fields and body. `left_out` names the bodies that were not kept."""
    return {
        "id": number,
        "req_path": path,
        "req_headers": texts(request[0]),
        "req_body": b64encode(request[1]).decode(),
        "resp_headers": texts(answer[0]),
        "resp_body": b64encode(answer[1]).decode(),
        **({"left_out": list(left_out)} if left_out else {}),
    }

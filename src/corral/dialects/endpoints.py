"""The routes that name a model, as data.

1. A row says all that differs between routes; whoever serves a request asks the row, not the path.
2. Every `/v1/…` route answers without its version too, as `/v/…`; the engine then sees the path without `/v`, as under llama-swap.
3. A GET route answers HEAD as well.

`/upstream/{model}/{path}` is not here: it names its model in the path, and any path may follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from corral.dialects.anthropic import ANTHROPIC
from corral.dialects.dialect import Dialect
from corral.dialects.llamacpp import LLAMACPP
from corral.dialects.loading import Tell, comment, ping, reasoning
from corral.dialects.openai import OPENAI, RESPONSES
from corral.dialects.plain import PLAIN

Place = Literal["json", "form", "query"]
"""Where the model is named: the JSON body's `model`, the form's, or the query's."""
Side = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: its answer may be a stream, its answer counts tokens, and the engine's path where that is another one.

    `waiting` is how a client is told of a load while it waits for a stream; None where it is not. `media` are the bodies that are sound or
    a picture, be it as text within JSON.
    """

    method: str
    path: str
    dialect: Dialect
    named: Place = "json"
    streams: bool = False
    metered: bool = False
    upstream: str = ""
    waiting: Tell | None = None
    media: tuple[Side, ...] = ()


_TAKES: Final[tuple[Side, ...]] = ("request",)
_GIVES: Final[tuple[Side, ...]] = ("answer",)
_BOTH: Final[tuple[Side, ...]] = ("request", "answer")

ROWS: Final = (
    Endpoint("POST", "/v1/chat/completions", OPENAI, streams=True, metered=True, waiting=reasoning),
    Endpoint("POST", "/v1/completions", OPENAI, streams=True, metered=True, waiting=comment),
    Endpoint("POST", "/v1/responses", RESPONSES, streams=True, metered=True, waiting=comment),
    Endpoint("POST", "/v1/messages", ANTHROPIC, streams=True, metered=True, waiting=ping),
    Endpoint("POST", "/v1/messages/count_tokens", ANTHROPIC),
    Endpoint("POST", "/v1/embeddings", OPENAI, metered=True),
    Endpoint("POST", "/v1/rerank", OPENAI, metered=True),
    Endpoint("POST", "/v1/reranking", OPENAI, metered=True),
    Endpoint("POST", "/rerank", LLAMACPP, metered=True),
    Endpoint("POST", "/reranking", LLAMACPP, metered=True),
    Endpoint("POST", "/infill", LLAMACPP, streams=True, metered=True),
    Endpoint("POST", "/completion", LLAMACPP, streams=True, metered=True),
    Endpoint("POST", "/embedding", LLAMACPP, metered=True),
    Endpoint("POST", "/tokenize", LLAMACPP),
    Endpoint("POST", "/detokenize", LLAMACPP),
    Endpoint("POST", "/apply-template", LLAMACPP),
    Endpoint("POST", "/v1/audio/speech", OPENAI, streams=True, media=_GIVES),
    Endpoint("POST", "/v1/audio/voices", OPENAI),
    Endpoint("POST", "/v1/images/generations", OPENAI, streams=True, metered=True, media=_GIVES),
    Endpoint("POST", "/sdapi/v1/txt2img", PLAIN, media=_GIVES),
    Endpoint("POST", "/sdapi/v1/img2img", PLAIN, media=_BOTH),
    Endpoint("POST", "/audioapi/v1/tasks/run", PLAIN, upstream="/v1/tasks/run"),
    Endpoint(
        "POST", "/v1/audio/transcriptions", OPENAI, "form", streams=True, metered=True, media=_TAKES
    ),
    Endpoint("POST", "/v1/audio/translations", OPENAI, "form", metered=True, media=_TAKES),
    Endpoint("POST", "/v1/images/edits", OPENAI, "form", streams=True, metered=True, media=_BOTH),
    Endpoint("GET", "/v1/realtime", OPENAI, "query"),
    Endpoint("GET", "/v1/audio/voices", OPENAI, "query"),
    Endpoint("GET", "/sdapi/v1/loras", PLAIN, "query"),
    Endpoint("GET", "/props", LLAMACPP, "query"),
    Endpoint("GET", "/slots", LLAMACPP, "query"),
    Endpoint("GET", "/lora-adapters", LLAMACPP, "query"),
)


def _all() -> Iterator[Endpoint]:
    for row in ROWS:
        yield replace(row, upstream=row.upstream or row.path)
        if row.path.startswith("/v1/"):
            bare = row.path.removeprefix("/v1")
            yield replace(row, path=f"/v{bare}", upstream=bare)


ENDPOINTS: Final = tuple(_all())
"""Every route, the versionless ones too, each with its `upstream`."""

_FOUND: Final = {(row.method, row.path): row for row in ENDPOINTS} | {
    ("HEAD", row.path): row for row in ENDPOINTS if row.method == "GET"
}


def find(method: str, path: str) -> Endpoint | None:
    """The route for a request; `path` is decoded and without its query. A HEAD finds the GET route."""
    return _FOUND.get((method, path))


def allowed(path: str) -> tuple[str, ...]:
    """The methods that this path answers, sorted; none if it is no model route."""
    return tuple(sorted(method for method, known in _FOUND if known == path))

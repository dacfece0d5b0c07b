"""What happens to a request between its client and a model's server, here or at a peer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from corral.config.document import Path
from corral.config.kinds import CommaList, Flag, Free, FreeMaps, Pattern, Seconds, Text
from corral.config.section import Section

_PROTECTED = "`model` is protected: filters leave it as it is"
COMFYUI = "comfyui_auto"
"""The model behind `/comfyui/`."""

_IGNORED = (re.compile(r".*\.(js|json|css|png|gif|jpg|jpeg|ico|txt)$", re.ASCII),)


def _some(patterns: tuple[re.Pattern[str], ...]) -> tuple[re.Pattern[str], ...]:
    return patterns or _IGNORED


class Filters(Section):
    """`models.M.filters` and `peers.P.filters`: changes to JSON request bodies, in the order of the
    keys here. `model` is never among them; dots in a name lead to nested fields."""

    strip_params: CommaList = Field(
        default=(),
        description="Fields taken out of the request's JSON: names between commas.",
        examples=["temperature, top_k"],
    )
    """Sorted, each once."""
    legacy_strip_params: CommaList = Field(
        default=(),
        alias="strip_params",
        description="The old spelling of `stripParams`, read when that is empty.",
        examples=["temperature, top_k"],
    )
    set_params: dict[Text, Free] = Field(
        default_factory=dict,
        description="Fields set in the request's JSON, whatever the client sent; `a.b` is the field "
        "`b` of `a`.",
        examples=[{"chat_template_kwargs.enable_thinking": False}],
    )
    set_params_by_id: FreeMaps = Field(
        default_factory=dict,
        alias="setParamsByID",
        description="The same for requests that name the model so. Of a model here, every such name "
        "becomes an alias. Macros are expanded in these names, too.",
        examples=[{"qwen:precise": {"temperature": 0}}],
    )


class Timeouts(Section):
    """`models.M.timeouts`. Seconds; 0: no limit."""

    connect: Seconds = Field(
        default=30, description="Seconds to connect to the model's server; 0: no limit."
    )
    idle: Seconds = Field(
        default=3600,
        description="Seconds without a byte in either direction before an admitted request is "
        "ended; 0: no limit.",
    )
    response_header: Seconds = Field(
        default=0,
        description="Seconds from a request's last byte to the head of its answer; 0: only `idle` "
        "bounds it.",
    )
    keepalive: Seconds = Field(
        default=30, description="Seconds between TCP keep-alive probes; 0: the system's choice."
    )
    tls_handshake: Seconds = Field(
        default=10, description="Seconds for the TLS handshake with an `https` server; 0: no limit."
    )
    expect_continue: Seconds = Field(
        default=1,
        description="Seconds to wait for `100 Continue` before the body is sent anyway; 0: it is "
        "sent at once.",
    )
    idle_conn: Seconds = Field(
        default=90,
        description="Seconds an unused connection to the model's server is kept; 0: no limit.",
    )


class Compat(Section):
    """`models.M.compat`."""

    ignore_websockets: Flag = Field(
        default=False,
        description="WebSockets of this model do not count as requests: they wake nothing, hold "
        "nothing, and get 409 unless the model is ready.",
    )


class Upstream(Section):
    """`upstream`."""

    ignore_paths: Annotated[tuple[Pattern, ...], AfterValidator(_some)] = Field(
        default=_IGNORED,
        description="Regular expressions: a path below `/upstream/MODEL` in which one of them is "
        "found never wakes the model (409). Without any, the default.",
    )
    """Searched for (not matched from the start) in the path after the model's name."""


def effective(filters: Filters) -> Filters:
    """`filters` with the old spelling merged in and `model`, which is protected, left out."""
    stripped = filters.strip_params or filters.legacy_strip_params
    return filters.model_copy(
        update={
            "strip_params": tuple(name for name in stripped if name != "model"),
            "legacy_strip_params": (),
            "set_params": _but_model(filters.set_params),
            "set_params_by_id": {
                name: _but_model(params) for name, params in filters.set_params_by_id.items()
            },
        }
    )


def idle_filters(filters: Filters, path: Path) -> Iterator[tuple[Path, str]]:
    """What is written in `filters`, at `path`, and has no effect."""
    if filters.strip_params and filters.legacy_strip_params:
        yield (*path, "strip_params"), "not used: `stripParams` stands beside it"
    for key, names in (
        ("stripParams", filters.strip_params),
        ("strip_params", filters.legacy_strip_params),
    ):
        if "model" in names:
            yield (*path, key), _PROTECTED
    for inner, params in (
        (("setParams",), filters.set_params),
        *((("setParamsByID", name), row) for name, row in filters.set_params_by_id.items()),
    ):
        if "model" in params:
            yield (*path, *inner, "model"), _PROTECTED


def _but_model(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "model"}

"""Models that other machines serve."""

from __future__ import annotations

from pydantic import Field

from corral.config.kinds import Name, Names, Seconds, Text
from corral.config.relaying import Filters, Timeouts
from corral.config.section import Section


class PeerTimeouts(Timeouts):
    """`peers.P.timeouts`."""

    response_header: Seconds = Field(
        default=60,
        description="Seconds from a request's last byte to the head of its answer; 0: only `idle` "
        "bounds it.",
    )


class Peer(Section):
    """`peers.P`. Its models are called `P/M`, and `M` where nothing else is called so."""

    proxy: Name = Field(
        default="",
        description="Where the peer answers: `http://host:port/path`, `https://...` or "
        "`unix:/path/of/socket`. Needed.",
        examples=["https://openrouter.ai/api"],
    )
    models: Names = Field(
        default=(),
        description="Its models that may be asked for, by the peer's own names. At least one.",
        examples=[["z-ai/glm-5"]],
    )
    """Each once, in the order written."""
    api_key: Text = Field(
        default="",
        repr=False,
        description="Shown to the peer instead of what the client sent.",
        examples=["${env.OPENROUTER_API_KEY}"],
    )
    filters: Filters = Field(
        default=Filters(), description="Changes to the JSON of requests for the peer."
    )
    timeouts: PeerTimeouts = Field(
        default=PeerTimeouts(), description="Limits on one request to the peer."
    )

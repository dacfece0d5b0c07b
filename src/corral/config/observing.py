"""What corral tells of itself and keeps of its work: logs, activity, captures, the machine's load."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from corral.config.kinds import Duration, Flag, HeaderNames, Name
from corral.config.section import Section

LogOutput = Literal["proxy", "upstream", "both", "none"]
LogTimeFormat = Literal[
    "",
    "ansic",
    "unixdate",
    "rubydate",
    "rfc822",
    "rfc822z",
    "rfc850",
    "rfc1123",
    "rfc1123z",
    "rfc3339",
    "rfc3339nano",
    "kitchen",
    "stamp",
    "stampmilli",
    "stampmicro",
    "stampnano",
]
SESSION_HEADERS = ("X-Session-ID", "X-Litellm-Session-Id")
SHORTEST_SAMPLE = 5.0
"""Seconds."""


class Store(Section):
    """`store`."""

    path: Name | None = Field(
        default=None,
        description="The SQLite file that activity is kept in, instead of one in corral's own state "
        "folder.",
        examples=["/var/lib/corral/activity.db"],
    )


class UiActivity(Section):
    """`ui.activity`."""

    session_id: HeaderNames = Field(
        default=SESSION_HEADERS,
        alias="session_id",
        description="Request headers that name the conversation a request belongs to; the first "
        "that a request has counts. `[]`: none.",
    )
    """Each once, whatever its case."""


class Ui(Section):
    """`ui`."""

    activity: UiActivity = Field(default=UiActivity(), description="The table of requests.")


class Performance(Section):
    """`performance`."""

    disabled: Flag = Field(default=False, description="The machine's load is not sampled.")
    every: Duration = Field(
        default=SHORTEST_SAMPLE,
        json_schema_extra={"default": "5s"},
        description="Time between two samples: `10s`, `1m30s`; at least `5s`. 0: the default.",
    )
    """Seconds."""

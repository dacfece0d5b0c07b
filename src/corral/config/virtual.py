"""Names that stand for others: profiles replace names while they are active, selectors choose."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from corral.config.kinds import Flag, Free, Names, Pins, Text, Whole, wrong
from corral.config.section import Section

Strategy = Literal["warm", "pin", "spillover"]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class Profile(Section):
    """`profiles.P`. At most one is active at a time."""

    @model_validator(mode="before")
    @classmethod
    def _no_list(cls, data: Any) -> Any:
        if isinstance(data, list | tuple):
            raise wrong(
                "is in the legacy list syntax: a profile is a mapping with `description` and `pins`"
            )
        return data

    description: Text = Field(default="", description="Text shown beside the profile.")
    pins: Pins = Field(
        default_factory=dict,
        description="While the profile is active, a request for a name here is one for its target: "
        'a model, an alias, a peer\'s model or a selector. `""` or no target: the name is off. At '
        "least one.",
        examples=[{"gpt-4o": "qwen"}],
    )
    """Name → target as written, "" where the name is off. Targets are not looked up as pins."""


class SelectorSettings(Section):
    """`selectors.S.settings`."""

    spillover: Whole = Field(
        default=1,
        description="For `spillover`: requests that the least busy target may have before the next "
        "one is loaded.",
    )


class Selector(Section):
    """`selectors.S`: a model's name that stands for whichever of its targets is best."""

    # A selector without them is told as a mistake of its own, by `settle.py`.
    model_config = ConfigDict(json_schema_extra={"required": ["strategy", "targets"]})

    strategy: Strategy = Field(
        default="pin",
        json_schema_extra=_without_default,
        description="`pin`: the first target. `warm`: the first that is ready, else the first that "
        "is loading, else the first; models of this machine only. `spillover`: the least busy of "
        "those that are loaded, and the next one when that has `spillover` requests. Needed.",
        examples=["warm"],
    )
    targets: Names = Field(
        default=(),
        description="Models, aliases or peers' models, the preferred one first. At least one.",
        examples=[["qwen"]],
    )
    """Names as written."""
    settings: SelectorSettings = Field(
        default=SelectorSettings(), description="Settings of the strategy."
    )
    name: Text = Field(default="", description="Name shown in listings.")
    description: Text = Field(default="", description="Text shown in listings.")
    unlisted: Flag = Field(default=False, description="Not shown in listings; still answers.")
    metadata: dict[Text, Free] = Field(
        default_factory=dict,
        description="Free-form values shown in listings.",
        examples=[{"purpose": "chat"}],
    )

    @property
    def spillover(self) -> int:
        """`settings.spillover`: at least 1 when the strategy is `spillover`."""
        return self.settings.spillover

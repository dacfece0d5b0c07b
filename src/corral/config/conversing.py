"""What corral keeps of conversations, and how a switch from one model to another goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from corral.config.kinds import Count, Name, Ratio, Seconds, Size, Text
from corral.config.section import Section

SystemPolicy = Literal["default", "prepend", "replace"]
BudgetMode = Literal["auto", "exact", "estimate"]


class Sessions(Section):
    """`sessions`. In a `Config` the effective ones."""

    mode: Literal["header", "always"] = Field(
        default="header",
        description="Whose conversation is kept: of requests that name a session (`session_id` in the body, or the "
        "header `X-Corral-Session`), or of all, each in a new session if it names none (`always`).",
    )
    store: Name | None = Field(
        default=None,
        description="The SQLite file that conversations are kept in, instead of one in corral's own state folder.",
        examples=["/var/lib/corral/sessions.db"],
    )
    import_state: Name | None = Field(
        default=None,
        description="A hotmodel `state.json`: its conversations are taken over, once.",
        examples=[".hotmodel/state.json"],
    )
    ttl: Seconds = Field(
        default=0,
        description="Seconds after its last turn for which a session is kept; 0: for ever.",
    )
    on_abort: Literal["keep", "drop"] = Field(
        default="keep",
        description="What becomes of a turn whose answer was cut off, by the client or by the model's server: "
        "kept, marked partial, or dropped.",
    )
    max_messages: Count | None = Field(
        default=None,
        description="Messages of a session that a prompt holds at most, the newest ones.",
        examples=[200],
    )
    max_prompt_chars: Count | None = Field(
        default=None, description="Characters of a prompt at most.", examples=[60000]
    )
    max_prompt_tokens: Count | None = Field(
        default=None,
        description="Tokens of a prompt at most; the model's own context is a limit in any case.",
        examples=[6000],
    )
    budget_mode: BudgetMode = Field(
        default="auto",
        description="How tokens are counted: `estimate` from the characters, `exact` by asking the model's server, "
        "`auto` asks only when the estimate comes near the limit.",
    )
    chars_per_token: Ratio = Field(
        default=4.0, description="Characters of a token, for the estimate."
    )
    system_prompt: Text = Field(
        default="",
        description="System prompt of sessions that have no preset.",
        examples=["You are a concise assistant."],
    )
    system_policy: SystemPolicy = Field(
        default="default",
        description="What becomes of it where a client sends a system prompt of its own: it gives way (`default`), "
        "goes before the client's (`prepend`), or stands instead of it (`replace`).",
    )
    presets: dict[Text, Text] = Field(
        default_factory=dict,
        description="Named system prompts; a session, or a model, may have one of them.",
        examples=[{"pirate": "Answer like a pirate."}],
    )
    park_kv: Literal["auto", "off"] = Field(
        default="auto",
        alias="parkKV",
        description="Whether what a llama-server has read of a conversation is kept in a file while its model is "
        "unloaded, so that coming back costs the new tokens only. `auto`: yes, when there is a `sessions:` section.",
    )
    park_quota: Size = Field(
        default=8 * 2**30,
        description="Space for those files: bytes, or a size such as `8GiB`; the ones used longest ago make room.",
        examples=["8GiB"],
    )


class Switching(Section):
    """`switching`: how an explicit switch makes a model the active one."""

    active: Name | None = Field(
        default=None,
        description="The model that is active, and loaded, from the start.",
        examples=["qwen"],
    )
    """In a `Config` a real model id."""
    drain_timeout: Seconds = Field(
        default=300,
        description="Seconds that what is in flight at a model in the way may take to finish; then the switch is "
        "called off, with nothing changed. 0: it must be idle.",
    )
    settle_timeout: Seconds = Field(
        default=10,
        description="Seconds that the graphics cards' memory may take to come back before the next model is loaded; "
        "0: no waiting.",
    )
    settle_memory: Count | None = Field(
        default=None,
        description="MiB in use, over all cards, at which memory has settled; without it `settle` decides.",
        examples=[2000],
    )
    settle: Literal["auto", "off"] = Field(
        default="auto",
        description="`auto`: memory has settled when it has fallen by about what the unloaded models held.",
    )

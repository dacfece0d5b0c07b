"""The values the rest of corral works with, and the schema of what a model and a group may say.

1. A `Config` that exists is valid: names resolve to real model ids, macros are expanded (but for
   `${PORT}`, `${SOCKET}` and `${PID}`, which only the host knows), globals are applied.
2. `Model`, `Group`, `Peer`, `Selector`, `Profile` and what is in them are both what is written and
   what is effective; the shape of the rest of the file is in `written.py`.
3. Every key has a help text: the JSON Schema, the reference page and the example come from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, InstanceOf

from corral.config.conversing import Sessions, Switching
from corral.config.kinds import (
    Command,
    EachOnce,
    Flag,
    Free,
    Macros,
    Name,
    Names,
    Seconds,
    Text,
    Whole,
)
from corral.config.matrix import Matrix
from corral.config.observing import LogOutput, LogTimeFormat, Performance, Ui
from corral.config.relaying import Compat, Filters, Timeouts, Upstream
from corral.config.remote import Peer
from corral.config.routers import Router
from corral.config.section import Section
from corral.config.virtual import Profile, Selector

LogLevel = Literal["debug", "info", "warn", "error"]
Format = Literal["native", "guide", "hotmodel"]
Modalities = Annotated[tuple[Literal["text", "audio", "image"], ...], EachOnce]


class Restart(Section):
    """`models.M.restart`."""

    backoff: tuple[Seconds, ...] = Field(
        default=(1, 2, 5, 15, 60),
        min_length=1,
        description="Seconds for which newcomers get the same reason at once after the 1st, 2nd, "
        "... failed load in a row; the last number repeats.",
    )


class Capabilities(Section):
    """`models.M.capabilities`: what listings say that the model can do."""

    inputs: Modalities = Field(
        default=(), alias="in", description="What it reads.", examples=[["text", "image"]]
    )
    outputs: Modalities = Field(
        default=(), alias="out", description="What it writes.", examples=[["text"]]
    )
    tools: Flag = Field(default=False, description="It can call tools.")
    reranker: Flag = Field(default=False, description="It ranks documents.")
    context: Whole = Field(
        default=0, ge=0, description="Tokens that fit into its context; 0: not said."
    )


class Model(Section):
    """`models.M`. In a `Config` the numbers are the effective ones."""

    cmd: Command = Field(
        default="",
        description="Command that starts the model's server: text, split into words as a POSIX "
        "shell would (no shell runs; line breaks are spaces; lines that start with `#` are "
        "dropped), or a list of arguments. `${PORT}` is a free port, `${SOCKET}` the path of a "
        "private UNIX socket (`llama-server --host ${SOCKET}`).",
        examples=["${server} -m models/qwen.gguf -c ${context}"],
    )
    cmd_stop: Command = Field(
        default="",
        description="Command that stops it, run instead of sending SIGTERM. `${PID}` is the "
        "process id. After `unloadTimeout` the process is killed either way.",
        examples=["kill ${PID}"],
    )
    proxy: Text = Field(
        default="http://localhost:${PORT}",
        description="Where the server answers: `http://host:port/path`, `https://...` or "
        "`unix:/path/of/socket`. When `cmd` uses `${SOCKET}` the default is `unix:${SOCKET}`. A "
        "server on a fixed port needs this key.",
    )
    aliases: Names = Field(
        default=(), description="Other names for this model.", examples=[["gpt-4o-mini"]]
    )
    env: Names = Field(
        default=(),
        description="`NAME=value` lines added to corral's own environment; the last of a name "
        "wins.",
        examples=[["CUDA_VISIBLE_DEVICES=0"]],
    )
    check_endpoint: Text = Field(
        default="/health",
        description="Path that answers 200 when the server is ready; `none`: it is ready as soon "
        "as it runs.",
    )
    health_check_timeout: Seconds = Field(
        default=120,
        description="Seconds the server may take to become ready; 0 or no key: the global "
        "`healthCheckTimeout`.",
    )
    start_timeout: Seconds | None = Field(
        default=None,
        description="Another name for this model's `healthCheckTimeout`.",
        examples=[120],
    )
    unload_timeout: Seconds = Field(
        default=10,
        description="Seconds to drain and stop before the process is killed; 0 or no key: the "
        "global `unloadTimeout`.",
    )
    ttl: Whole = Field(
        default=0,
        ge=-1,
        description="Seconds of idleness before the model is unloaded; 0: never; -1 or no key: "
        "`globalTTL`.",
    )
    persist: Flag = Field(
        default=False,
        description="Never evicted for another model and never unloaded by TTL. Counts as a member "
        "of every set and group.",
    )
    parallel: Whole = Field(
        default=0, ge=0, description="Requests served at once; more wait their turn. 0: no limit."
    )
    concurrency_limit: Whole = Field(
        default=0,
        description="Requests waiting and served together; more get 429. 0 or less: no limit but the "
        "queue's.",
    )
    restart: Restart = Field(default=Restart(), description="What happens after a failed load.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Limits on one request.")
    filters: Filters = Field(default=Filters(), description="Changes to the JSON of requests.")
    compat: Compat = Field(default=Compat(), description="Work-arounds for particular servers.")
    send_loading_state: Flag = Field(
        default=False,
        description="Tells a waiting client in the stream how the load goes; without this key, the "
        "global `sendLoadingState`.",
    )
    use_model_name: Text = Field(
        default="", description="Model name sent to the server instead of the client's."
    )
    router: Name = Field(
        default="",
        description="The llama-server in router mode (`routers`) that this model is loaded through, instead of a `cmd` "
        "of its own.",
        examples=["llama"],
    )
    router_model: Name = Field(
        default="",
        description="The model's id at its router; without it, the id here.",
        examples=["qwen3-small"],
    )
    preset: Name = Field(
        default="",
        description="The system prompt, of `sessions.presets`, of this model's sessions that have none of their own.",
        examples=["pirate"],
    )
    unlisted: Flag = Field(default=False, description="Not shown in listings; still served.")
    name: Text = Field(default="", description="Name shown in listings.")
    description: Text = Field(default="", description="Text shown in listings.")
    capabilities: Capabilities = Field(
        default=Capabilities(), description="What the model can do, for listings."
    )
    metadata: dict[Text, Free] = Field(
        default_factory=dict,
        description="Free-form values shown in listings.",
        examples=[{"size": "4B"}],
    )
    macros: Macros = Field(
        default_factory=dict,
        description="Macros of this model alone; one with the name of a global macro replaces it.",
        examples=[{"context": 32768}],
    )


class Group(Section):
    """`groups.G`. In a `Config` every model is in exactly one; those in none are in `(default)`."""

    swap: Flag = Field(default=True, description="Members replace each other.")
    exclusive: Flag = Field(
        default=True, description="Loading a member unloads the other groups' models."
    )
    persistent: Flag = Field(
        default=False, description="Loading in other groups does not unload this group's members."
    )
    load_together: Flag = Field(
        default=False,
        description="A request for one member starts them all, side by side; it is answered as "
        "soon as its own model is ready. Needs `swap: false`.",
    )
    members: Names = Field(
        default=(),
        description="Model ids, not aliases. A model is in at most one group.",
        examples=[["qwen"]],
    )


class Scheduling(Section):
    """Effective queue settings, whichever discipline is used."""

    use: Literal["fair", "fifo"] = "fair"
    priority: dict[str, int] = Field(default_factory=dict)
    """By real model id; 0 for a model that is not named."""
    max_wait: Seconds = 30
    """Seconds after which newcomers queue behind a waiter in their way (`fair` only)."""
    min_residency: Seconds = 0
    """Seconds for which a model that became ready is not evicted for a request that has not waited
    `max_wait` (`fair` only)."""
    queue_timeout: Seconds = 600
    max_queue: int = 1000


class Config(Section):
    """A whole configuration, effective and valid."""

    format: Format = "native"
    models: dict[str, Model] = Field(default_factory=dict)
    """In the order written."""
    groups: dict[str, Group] = Field(default_factory=dict)
    """Effective groups, with `(default)`; empty when there is a matrix."""
    matrix: InstanceOf[Matrix] | None = None
    scheduling: Scheduling = Scheduling()
    preload: tuple[str, ...] = ()
    """Real model ids, each once, in the order written."""
    default_model: str | None = None
    """A name that a request may use, as written."""
    peers: dict[str, Peer] = Field(default_factory=dict)
    selectors: dict[str, Selector] = Field(default_factory=dict)
    profiles: dict[str, Profile] = Field(default_factory=dict)
    routers: dict[str, Router] = Field(default_factory=dict)
    sessions: Sessions = Sessions()
    keeps_responses: bool = False
    """Conversations of `/v1/responses` are kept without being asked for, as OpenAI does: there is a `sessions:` section."""
    switching: Switching = Switching()
    api_keys: tuple[str, ...] = Field(default=(), repr=False)
    upstream: Upstream = Upstream()
    log_level: LogLevel = "info"
    log_to_stdout: LogOutput = "proxy"
    log_time_format: LogTimeFormat = ""
    """Go's name of a layout; "" for none written."""
    store_path: str | None = Field(default=None, alias="store")
    """As written; None: corral's own place."""
    ui: Ui = Ui()
    performance: Performance = Performance()
    capture_buffer: int = 5 * 2**20
    """Bytes of requests and answers kept for inspection; 0: none are."""
    metrics_max_in_memory: int = 1000
    """Requests kept where there is no database."""
    include_aliases_in_list: bool = False
    max_body: int = 512 * 2**20
    """Bytes."""
    shutdown_timeout: Seconds = 30
    listen: str | None = None
    """`host:port`, when the command line does not say; None: corral's own default."""
    imports: str | None = None
    """A hotmodel `state.json` whose conversations are taken over, once."""
    ports: dict[str, int] = Field(default_factory=dict)
    """The port that each model with `${PORT}` in its command takes first, by model id."""
    router_ports: dict[str, int] = Field(default_factory=dict)
    """The same for the routers, by name."""
    preset_marks: dict[str, str] = Field(default_factory=dict)
    """What tells whether a router's preset file is still the same, by name of the router."""
    notes: tuple[str, ...] = ()
    """What a person should be told at start, one line each: the format that was recognised and what
    was made of it, keys that have no effect."""

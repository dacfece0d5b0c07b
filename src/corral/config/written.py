"""The shape of the file as it is written, top to bottom. `settle.py` makes a `Config` of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from corral.config.conversing import Sessions, Switching
from corral.config.kinds import (
    AnyCase,
    Costs,
    Flag,
    Macros,
    Name,
    Names,
    Seconds,
    Size,
    Text,
    Whole,
)
from corral.config.model import Format, Group, LogLevel, Model
from corral.config.observing import LogOutput, LogTimeFormat, Performance, Store, Ui
from corral.config.relaying import Upstream
from corral.config.remote import Peer
from corral.config.routers import Router
from corral.config.section import Section
from corral.config.virtual import Profile, Selector

Priorities = dict[Text, Whole]


class MatrixSection(Section):
    """`matrix`, or `routing.router.settings.matrix`."""

    vars: dict[Text, Text] = Field(
        default_factory=dict,
        description="Short names for model ids, for use in `sets` and `evict_costs`: letters, "
        "digits, `_`, `-`, `.`; at most 32.",
        examples=[{"q": "qwen"}],
    )
    evict_costs: Costs = Field(
        default_factory=dict,
        alias="evict_costs",
        description="What it costs to lose a running model, by var or model id: a whole number of "
        "at least 1; 1 when not named. `auto`, for one or for all of them: the seconds that its "
        "loads have lately taken, so that a number says as much as so many seconds.",
        examples=[{"q": 30}],
    )
    sets: dict[Text, Text] = Field(
        default_factory=dict,
        description="Models that may be resident together, by name of the set: `a & b` together, "
        "`a | b` one of them, `(...)`, `+other` another set's expression. Any part of a set may be "
        "resident too. A model in no set runs alone.",
        examples=[{"chat": "q"}],
    )


class FifoSettings(Section):
    """`routing.scheduler.settings.fifo`."""

    priority: Priorities = Field(
        default_factory=dict,
        description="By model: requests for a higher number go first; 0 when not named.",
        examples=[{"qwen": 10}],
    )
    queue_timeout: Seconds = Field(
        default=600,
        description="Seconds a request may wait for room before it gets 503; 0: no limit.",
    )
    max_queue: Whole = Field(
        default=1000, ge=0, description="Requests that may wait at once; more get 429. 0: no limit."
    )


class FairSettings(FifoSettings):
    """`routing.scheduler.settings.fair`."""

    max_wait: Seconds = Field(
        default=30,
        description="Seconds a request waits before newcomers for the models in its way queue "
        "behind it. A default is lowered to `queueTimeout`.",
    )
    min_residency: Seconds = Field(
        default=0,
        description="Seconds after it became ready for which a model is not evicted; a request that "
        "has waited `maxWait` does not wait for that.",
    )


class SchedulerSettings(Section):
    """`routing.scheduler.settings`."""

    fair: FairSettings = Field(
        default=FairSettings(),
        description="For `use: fair`. Without a `priority` here, that of `fifo` is taken.",
    )
    fifo: FifoSettings = Field(default=FifoSettings(), description="For `use: fifo`.")


class SchedulerSection(Section):
    """`routing.scheduler`."""

    use: Literal["fair", "fifo"] = Field(
        default="fair",
        description="Queue discipline: `fair` bounds how long anybody waits, `fifo` lets those "
        "whose model is loaded overtake without end.",
    )
    settings: SchedulerSettings = Field(
        default=SchedulerSettings(), description="Settings of each discipline."
    )


class RouterSettings(Section):
    """`routing.router.settings`."""

    groups: dict[Text, Group] = Field(default_factory=dict, description="As top-level `groups`.")
    matrix: MatrixSection | None = Field(default=None, description="As top-level `matrix`.")


class RouterSection(Section):
    """`routing.router`."""

    use: Literal["group", "matrix"] | None = Field(
        default=None,
        description="Which of the settings decides; without it `matrix` when that is set, else "
        "`group`.",
    )
    settings: RouterSettings = Field(
        default=RouterSettings(), description="Settings of each policy; the other is not looked at."
    )


class RoutingSection(Section):
    """`routing`."""

    router: RouterSection = Field(
        default=RouterSection(),
        description="Which models may be resident together; instead of top-level `groups` or "
        "`matrix`.",
    )
    scheduler: SchedulerSection = Field(default=SchedulerSection(), description="Whose turn it is.")


class Startup(Section):
    """`hooks.on_startup`."""

    preload: Names = Field(
        default=(), description="Models to load at start, in this order.", examples=[["qwen"]]
    )


class Hooks(Section):
    """`hooks`."""

    on_startup: Startup = Field(
        default=Startup(), alias="on_startup", description="What to do when corral starts."
    )


class File(Section):
    """A whole configuration, as written."""

    format: Format | None = Field(
        default=None,
        description="Says what this file is, when what it looks like should not decide.",
        examples=["native"],
    )
    models: dict[Text, Model] = Field(
        default_factory=dict, description="The models, by the id that requests name them by."
    )
    groups: dict[Text, Group] = Field(
        default_factory=dict,
        description="Which models share the machine, by name of the group. Models in no group "
        "share `(default)`: one at a time, alone. Not together with `matrix`.",
    )
    matrix: MatrixSection | None = Field(
        default=None,
        description="Which models may be resident together, as sets: a request for a model evicts "
        "as little as possible.",
    )
    routing: RoutingSection = Field(
        default=RoutingSection(), description="The newer spelling of `groups` and `matrix`; queues."
    )
    hooks: Hooks = Field(default=Hooks(), description="Actions at certain moments.")
    peers: dict[Text, Peer] = Field(
        default_factory=dict, description="Models that other machines serve, by name of the peer."
    )
    selectors: dict[Text, Selector] = Field(
        default_factory=dict,
        description="Names that stand for whichever of several models is best, by name.",
    )
    profiles: dict[Text, Profile] = Field(
        default_factory=dict,
        description="Sets of replacements for models' names, by name of the profile. One is made "
        "active while corral runs.",
    )
    macros: Macros = Field(
        default_factory=dict,
        description="Text (or numbers, flags) to use in any value as `${name}`. A macro may use "
        "those above it. Letters, digits, `_`, `-`; at most 63.",
        examples=[{"server": "llama-server --host 127.0.0.1 --port ${PORT}", "context": 8192}],
    )
    start_port: Whole = Field(
        default=5800,
        ge=1,
        le=65535,
        description="First number for `${PORT}`; models get one each, in order of their ids.",
    )
    health_check_timeout: Seconds = Field(
        default=120, description="Seconds a server may take to become ready; 0 means 120."
    )
    unload_timeout: Seconds = Field(
        default=10,
        description="Seconds to drain and stop a model before its process is killed; 0 means 10.",
    )
    global_ttl: Whole = Field(
        default=0,
        ge=0,
        alias="globalTTL",
        description="Seconds of idleness before a model without `ttl` is unloaded; 0: never.",
    )
    default_model: Name = Field(
        default="",
        description="Used when a request names no model: any name that it might use.",
        examples=["qwen"],
    )
    api_keys: Names = Field(
        default=(),
        description="Keys that clients must show, any one of them; none: open to all.",
        examples=[["${env.CORRAL_KEY}"]],
    )
    send_loading_state: Flag = Field(
        default=False, description="The models' `sendLoadingState` where they have none."
    )
    upstream: Upstream = Field(
        default=Upstream(), description="Requests that go to a model's server as they are."
    )
    include_aliases_in_list: Flag = Field(
        default=False, description="Show aliases in model listings, too."
    )
    max_body: Size = Field(
        default=512 * 2**20,
        description="Largest request body: bytes, or a size such as `512MiB`; more gets 413.",
        examples=["512MiB"],
    )
    shutdown_timeout: Seconds = Field(
        default=30,
        description="Seconds for draining and stopping when corral is asked to end; after that, and at a second signal, it stops at once.",
    )
    log_level: Annotated[LogLevel, AnyCase] = Field(
        default="info", description="The least that is logged."
    )
    log_to_stdout: Annotated[LogOutput, AnyCase] = Field(
        default="proxy",
        description="What is printed: corral's own log (`proxy`), the models' (`upstream`), both or "
        "none.",
    )
    log_time_format: Annotated[LogTimeFormat, AnyCase] = Field(
        default="",
        description="How log lines tell the time: the name of one of Go's layouts. Nothing: as "
        "corral does by itself.",
        examples=["rfc3339"],
    )
    routers: dict[Text, Router] = Field(
        default_factory=dict,
        description="llama-servers in router mode, by name: models with `router` are loaded through them.",
    )
    sessions: Sessions = Field(
        default=Sessions(), description="Conversations, kept outside the models' servers."
    )
    switching: Switching = Field(
        default=Switching(), description="How `corral switch` makes another model the active one."
    )
    listen: Name = Field(
        default="",
        description="`host:port` to listen on when the command line does not say; no key: 127.0.0.1:8080.",
        examples=["127.0.0.1:8080"],
    )
    store: Store = Field(default=Store(), description="Where activity is kept.")
    ui: Ui = Field(default=Ui(), description="Settings of the web page.")
    performance: Performance = Field(
        default=Performance(), description="Sampling of the machine's load."
    )
    capture_buffer: Whole = Field(
        default=5,
        ge=0,
        le=2**20,
        description="Megabytes (MiB) of requests and answers kept in memory for inspection; 0: none "
        "are.",
    )
    metrics_max_in_memory: Whole = Field(
        default=1000,
        description="Requests kept for inspection where they are kept in memory; 0 or less: 1000.",
    )
    log_requests: Flag = Field(default=False, description="Accepted; has no effect.")

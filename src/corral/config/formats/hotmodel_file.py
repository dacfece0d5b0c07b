"""The shape of a hotmodel TOML: its keys, the values that they take, what holds without them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from corral.config.document import plain
from corral.config.kinds import Count, Flag, Name, Names, Ratio, Seconds, Text, Whole

Port = Annotated[Whole, Field(ge=0, le=65535)]
MaybeNegative = Annotated[float, Strict(), BeforeValidator(plain), Field(ge=-1e9, le=1e9)]


class Table(BaseModel):
    """A table of the file: no unknown keys, frozen once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Table):
    """`[server]`."""

    host: Name = "127.0.0.1"
    port: Port = 18080
    state_path: Name = ".hotmodel/state.json"
    active_model: Name = ""
    switch_policy: Literal["zero_overlap"] = "zero_overlap"
    switch_drain_timeout_seconds: Seconds = 300
    gpu_settle_timeout_seconds: MaybeNegative = 0
    """0 or less: no waiting."""
    gpu_settle_memory_mb: Count | None = None


class Session(Table):
    """`[session]`."""

    max_session_messages: Count | None = None
    max_prompt_chars: Count | None = None
    max_prompt_tokens: Count | None = None
    token_budget_mode: Literal["auto", "llama", "estimate"] = "auto"  # noqa: S105 - another kind of token
    token_budget_chars_per_token: Ratio = 4.0


class Preset(Table):
    """`[preset]`."""

    system_prompt: Text = ""


class Llama(Table):
    """`[llama]`."""

    backend_mode: Literal["router", "process"] = "router"
    binary: Name = "llama-server"
    host: Name = "127.0.0.1"


class Router(Table):
    """`[router]`: without `binary` and `host`, those of `[llama]`."""

    binary: Name = ""
    host: Name = ""
    port: Port = 28000
    models_dir: Name = ""
    models_preset: Name = ""
    models_max: Count = 1
    models_autoload: Flag = False
    ctx_size: Count = 8192
    parallel: Count = 1
    cache_type_k: Name = "q8_0"
    cache_type_v: Name = "q8_0"
    kv_unified: Flag = True
    cache_ram_mb: Annotated[Whole, Field(ge=-1)] = 1024
    cache_idle_slots: Flag = True
    flash_attn: Text = ""
    no_ui: Flag = True
    no_webui: Flag | None = None
    """An older name, which wins."""
    extra_args: Names = ()


class Model(Table):
    """`[models.NAME]`: without `binary` and `host`, those of `[llama]`."""

    path: Name = ""
    """Needed; checked by who reads the file, together with everything else."""
    router_id: Name = ""
    port: Port = 0
    host: Name = ""
    binary: Name = ""
    ctx_size: Annotated[Whole, Field(ge=0)] = 8192
    gpu_layers: Whole | None = None
    threads: Whole | None = None
    parallel: Whole | None = None
    extra_args: Names = ()


class HotFile(Table):
    """The whole file. `format` is corral's."""

    format: Literal["hotmodel"] | None = None
    server: Server = Server()
    session: Session = Session()
    preset: Preset = Preset()
    llama: Llama = Llama()
    router: Router = Router()
    models: dict[Text, Model] = Field(default_factory=dict)

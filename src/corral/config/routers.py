"""llama-servers in router mode: servers that load and unload models of their own, asked to by corral."""

from __future__ import annotations

from pydantic import Field

from corral.config.kinds import Command, Count, Name, Names, Seconds, Text
from corral.config.section import Section


class Router(Section):
    """`routers.R`. In a `Config` the numbers are the effective ones."""

    url: Text = Field(
        default="",
        description="Where a router runs already: `http://host:port`. Corral asks it to load and unload the models that "
        "name it, and does not start or stop it. Instead of `cmd`.",
        examples=["http://127.0.0.1:28000"],
    )
    cmd: Command = Field(
        default="",
        description="Command that starts the router, without a model: `llama-server --port ${PORT}`. It is started with "
        "the first of its models, and runs until corral ends.",
        examples=["llama-server --host 127.0.0.1 --port ${PORT}"],
    )
    presets: Name = Field(
        default="",
        description="The INI file with the models' settings (`--models-preset`).",
        examples=["llama-models.ini"],
    )
    models_dir: Name = Field(
        default="",
        description="A folder of models (`--models-dir`).",
        examples=["models"],
    )
    models_max: Count | None = Field(
        default=None,
        description="Models that the router itself lets run at once (`--models-max`); without it, all of those that "
        "name it: corral decides who goes.",
        examples=[2],
    )
    env: Names = Field(
        default=(),
        description="`NAME=value` lines added to corral's own environment; the last of a name wins.",
        examples=[["LLAMA_ARG_CTX_SIZE=8192"]],
    )
    start_timeout: Seconds = Field(
        default=120,
        description="Seconds the router may take to answer; 0: the global `healthCheckTimeout`.",
    )
    unload_timeout: Seconds = Field(
        default=10,
        description="Seconds between asking the router to end and killing it; 0: the global `unloadTimeout`.",
    )

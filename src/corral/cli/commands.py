"""The command line: every command with its options and its help, and nothing else.

What a command does is imported when it runs: `corral --help` must stay under 150 ms.
"""
# ruff: noqa: PLC0415 - the point of this file, see above

from __future__ import annotations

import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from corral.cli import session_commands
from corral.cli.exits import Failure, say
from corral.cli.options import HERE, Json, Key, Url

app = typer.Typer(
    name="corral",
    help="One HTTP endpoint in front of every model you can run yourself.",
    epilog="Start with: corral demo. Exit codes: 0 done, 1 failed, 2 wrong use or bad config, "
    "3 cannot reach the server.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(session_commands.app)


class LogLevel(StrEnum):
    """How much corral says while it serves."""

    debug = "debug"
    info = "info"
    warn = "warn"
    error = "error"


class Shape(StrEnum):
    """The traces that corral can make by itself."""

    steady = "steady"
    bursty = "bursty"
    ping_pong = "ping-pong"
    agents = "agents"
    chat_and_batch = "chat-and-batch"


Config = Annotated[
    Path, typer.Argument(metavar="FILE", help="A configuration, of any known format.")
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name or alias.")]
AnyModel = Annotated[
    str, typer.Argument(metavar="[MODEL]", help="A model; all of them if left out.")
]

Lenient = Annotated[
    bool, typer.Option("--lenient", help="Unknown keys and the like are told, not refused.")
]


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except Failure as failure:
        say(str(failure))
        sys.exit(failure.code)


@app.command(epilog="Example: corral serve --config config.yaml --listen 127.0.0.1:8080")
def serve(
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Configuration; more than one are merged. [./config.yaml]"
        ),
    ] = None,
    config_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Adds the *.yaml and *.yml files in DIR.")
    ] = None,
    models_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Adds every *.gguf in DIR as a model.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help=":PORT: every interface. [its listen, 127.0.0.1:8080]"
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the configuration as it is edited.")
    ] = False,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Instead of the configuration's logLevel.")
    ] = None,
    lenient: Lenient = False,
) -> None:
    """Serve the configured models.

    Ctrl-C (or SIGTERM) lets running requests finish; a second one stops at once. SIGHUP (or `corral
    reload`) has it read its configuration again.
    """
    from corral.cli import serving

    named = serving.Named(
        config or (), config_dir, models_dir, log_level and log_level.value, lenient
    )
    serving.run(named, listen, watch=watch)


@app.command(epilog="Example: corral check config.yaml")
def check(file: Config, lenient: Lenient = False) -> None:
    """Show every mistake in a configuration.

    One line each, with file, line and column; exit code 2 when there are any.
    """
    from corral.cli import configs

    configs.check(file, lenient=lenient)


@app.command(epilog="Example: corral convert config.toml > config.yaml")
def convert(file: Config) -> None:
    """Print a configuration in corral's own format."""
    from corral.cli import configs

    configs.convert(file)


@app.command(epilog="Example: corral schema > corral.schema.json")
def schema() -> None:
    """Print the JSON Schema of a configuration."""
    from corral.cli import configs

    configs.schema()


@app.command(
    epilog="Example: corral simulate --generate agents --versus fifo --versus maxWait=5. "
    "Times are seconds; docs/simulator.md tells the rest."
)
def simulate(  # noqa: PLR0913, PLR0917 - one parameter for each option, passed by name
    trace: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TRACE]", help="CSV or JSON lines: arrival, model, caller, service."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A configuration. [the models, one at a time]"),
    ] = None,
    shape: Annotated[
        Shape | None, typer.Option("--generate", help="Make a trace of this shape.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Generated requests. [1000]")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="R", help="Generated requests per second. [0.5]")
    ] = None,
    callers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Who generates them: so many. [4]")
    ] = None,
    models: Annotated[
        str | None, typer.Option(metavar="A,B,..|N", help="Models to generate for. [all]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed, the same trace. [0]")
    ] = None,
    load: Annotated[float | None, typer.Option(metavar="S", help="To load a model. [10]")] = None,
    stop: Annotated[float | None, typer.Option(metavar="S", help="To stop a model. [1]")] = None,
    service: Annotated[float | None, typer.Option(metavar="S", help="To answer once. [2]")] = None,
    times: Annotated[
        Path | None, typer.Option(metavar="FILE", help="load, stop, service by model; YAML, TOML.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the configuration."),
    ] = None,
    versus: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE,..", help="Compare with this change; also fifo, fair."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw who loaded, served, waited when.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All numbers, as JSON.")] = False,
) -> None:
    """Try a configuration on recorded or made-up requests.

    Plays them through corral's own scheduler on virtual time, without starting anything, and prints
    swaps, how much of the time a model served, and how long requests waited.
    """
    from corral.cli import simulate as simulating

    simulating.run(
        simulating.Asked(
            trace=trace,
            config=config,
            generate=shape and shape.value,
            demand={
                "requests": requests,
                "rate": rate,
                "callers": callers,
                "models": models,
                "seed": seed,
            },
            pace={"load": load, "stop": stop, "service": service},
            times=times,
            changes=changes or (),
            versus=versus or (),
            as_json=as_json,
            png=png,
        )
    )


@app.command(epilog="Example: corral demo")
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop when the story is told.")] = False,
) -> None:
    """Watch three tiny models share a machine.

    Writes them to a cache folder, serves them, tells the story of a voice assistant and a coding
    agent, and leaves the server running to try until Ctrl-C.
    """
    from corral.cli.demo.story import run

    run(leave=leave)


@app.command(epilog="Example: corral ps")
def ps(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Show what is running.

    The models that are loaded, on their way in or out, or waited for.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.ps(as_json=as_json))


@app.command(epilog="Example: corral models --json")
def models(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Show every configured model.

    With its state, and why its last load failed if it did.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.models(as_json=as_json))


@app.command(epilog="Example: corral explain think-big")
def explain(model: Model, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Tell what a request for a model would meet.

    Whether it would be served, wait or swap, who would have to leave for it and by which rule, and
    who waits already. Changes nothing.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.explain(model, as_json=as_json))


@app.command(epilog="Example: corral load chat-small")
def load(model: Model, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Load a model and wait until it is ready.

    Makes room for it as a request would.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.load(model, as_json=as_json))


@app.command(epilog="Example: corral switch think-big")
def switch(
    model: Model,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask the corral that serves this, instead of --url."),
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Make a model the active one.

    Lets what is in flight at the models in its way finish, unloads them, waits until the graphics
    cards' memory has come back, loads it, and tells how long each took.
    """
    from corral.cli import asking, configs

    where = url if config is None else configs.served_at(config)
    asking.ask(where, key, asking.switch(model, as_json=as_json))


@app.command(epilog="Example: corral unload think-big")
def unload(
    model: AnyModel = "",
    force: Annotated[bool, typer.Option(help="Do not let running requests finish.")] = False,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Unload a model, or all of them.

    Lets running requests finish, stops the server, and waits until it is gone.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.unload(model, force=force, as_json=as_json))


@app.command(epilog="Example: corral reload")
def reload(url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Have the configuration read again.

    Only what changed is touched. With a mistake in it everything stays as it is: every mistake is
    shown, exit code 2.
    """
    from corral.cli import asking

    asking.ask(url, key, asking.reload(as_json=as_json))


@app.command(epilog="Example: corral logs chat-small -f")
def logs(
    model: AnyModel = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    url: Url = HERE,
    key: Key = "",
) -> None:
    """Print a model's log, or what corral itself prints."""
    from corral.cli import asking

    with suppress(KeyboardInterrupt):  # how a person stops following
        asking.ask(url, key, asking.logs(model, follow=follow))


@app.command(epilog="Example: corral version")
def version(as_json: Json = False) -> None:
    """Print the versions of corral and what it runs on."""
    from corral.cli import versions

    versions.show(as_json=as_json)

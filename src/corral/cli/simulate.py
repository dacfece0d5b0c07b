"""`corral simulate`: what a configuration, or several settings of it, would do with a trace."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import Progress

from corral.cli import simulate_tables, sources
from corral.cli.exits import Exit, Failure, answer, say
from corral.cli.serving import mistakes_told, understand
from corral.config.catalog import Catalog
from corral.config.convert import convert
from corral.config.document import Document, Source
from corral.config.load import load, read
from corral.config.model import Config
from corral.config.toml_text import read_toml
from corral.config.yaml_text import read_yaml
from corral.errors import ConfigError, ModelNotFound
from corral.simulator import picture
from corral.simulator.generators import Demand, generate
from corral.simulator.report import Report, report
from corral.simulator.run import simulate
from corral.simulator.settings import changed
from corral.simulator.timeline import Timeline
from corral.simulator.times import Times, read_times
from corral.simulator.trace import Trace
from corral.simulator.trace_text import read_trace

AS_CONFIGURED = "as configured"
MADE_UP = ("a", "b", "c")
"""The models of a generated trace when there is no configuration."""
MADE_UP_PARALLEL = 4
NO_CONFIG = f"no --config: one model at a time, {MADE_UP_PARALLEL} requests at once"


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, as typed; None where nothing was."""

    trace: Path | None = None
    config: Path | None = None
    generate: str | None = None
    demand: Mapping[str, int | float | str | None] = field(default_factory=dict)
    """What is said to a generator: `requests`, `rate`, `callers`, `models`, `seed`."""
    pace: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds that are said on the line: `load`, `stop`, `service`."""
    times: Path | None = None
    changes: Sequence[str] = ()
    versus: Sequence[str] = ()
    as_json: bool = False
    png: Path | None = None


def run(asked: Asked) -> None:
    """Simulate and print. Failure when something that was asked for cannot be."""
    _check_use(asked)
    if asked.png:
        _check_plots()
    document, config = _configuration(asked)
    resolve = Catalog(config).resolve if config else _as_it_is
    times = _times(asked, resolve)
    trace = _trace(asked, config, times, resolve)
    if config is None:
        document = _made_up(trace.models)
    configs = _settings(asked, document)
    timelines = {name: Timeline() for name in configs} if asked.png else {}
    reports = _play(configs, trace, times, timelines)
    if asked.as_json:
        answer(simulate_tables.as_json(trace, times, reports))
    else:
        about = [] if asked.config else [NO_CONFIG]
        simulate_tables.show(trace, times, reports, _origin(asked), about)
    for number, (name, timeline) in enumerate(timelines.items(), 1):
        _draw(timeline, name, _numbered(asked.png or Path(), number))
    _check_answers(reports)


def _as_it_is(name: str) -> str:
    return name


# --- what was asked for ------------------------------------------------------------------------------------------------


def _check_use(asked: Asked) -> None:
    if (asked.trace is None) == (asked.generate is None):
        raise Failure("name a TRACE, or have one made with --generate", Exit.MISUSED)
    for name, value in asked.demand.items():
        if value is not None and asked.generate is None:
            raise Failure(f"--{name} is for --generate; TRACE says it already", Exit.MISUSED)
    for name, value in {**asked.demand, **asked.pace}.items():
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise Failure(f"--{name} must be a number from 0 on, not {value}", Exit.MISUSED)
    if asked.demand.get("rate") == 0:
        raise Failure("--rate must be more than 0", Exit.MISUSED)


def _origin(asked: Asked) -> str:
    if asked.trace is not None:
        return str(asked.trace)
    return f"generated: {asked.generate}, seed {_seed(asked)}"


def _seed(asked: Asked) -> int:
    return int(asked.demand.get("seed") or 0)


def _configuration(asked: Asked) -> tuple[Document, Config | None]:
    if asked.config is None:
        return Document({}), None
    source = sources.read(asked.config)
    config = understand([source])
    if not config.models:
        raise Failure(f"{asked.config}: no models are configured", Exit.MISUSED)
    if config.format == "hotmodel":  # its keys are not those that can be changed
        text = convert(source, os.environ, sources.beside([source]))
        source = Source(f"{asked.config} (native)", text)
    return read([source], os.environ), config


def _times(asked: Asked, resolve: Callable[[str], str]) -> Times:
    given = {key: value for key, value in asked.pace.items() if value is not None}
    with mistakes_told():
        document = _parsed(asked.times) if asked.times else Document({})
        return read_times(document, given, resolve)


def _parsed(file: Path) -> Document:
    source = sources.read(file)
    return read_toml(source) if file.suffix == ".toml" else read_yaml(source)


def _trace(
    asked: Asked, config: Config | None, times: Times, resolve: Callable[[str], str]
) -> Trace:
    if asked.trace is not None:
        return _read(asked.trace, resolve)
    said = {key: value for key, value in asked.demand.items() if value is not None}
    said.pop("seed", None)
    models = _models(str(said.pop("models", "")), config, resolve)
    demand = Demand(models, **said)  # type: ignore[arg-type] # by name, each of its own kind
    return generate(asked.generate or "", demand, times, Random(_seed(asked)).random)  # noqa: S311 - no secret


def _read(file: Path, resolve: Callable[[str], str]) -> Trace:
    try:
        with mistakes_told(), file.open(encoding="utf-8-sig", newline="") as lines:
            return read_trace(str(file), lines, resolve)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", Exit.MISUSED) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: not UTF-8 text", Exit.MISUSED) from error


def _models(said: str, config: Config | None, resolve: Callable[[str], str]) -> Sequence[str]:
    """The models that a generator asks for, in its order: named, or so many, or all."""
    known = list(config.models) if config else []
    if not said:
        return known or MADE_UP
    if said.isdecimal() and said not in known:
        count = int(said)
        if not 1 <= count <= (len(known) or count):
            raise Failure(f"--models {said}: there are {len(known)}", Exit.MISUSED)
        return known[:count] or [f"m{number + 1}" for number in range(count)]
    try:
        return list(dict.fromkeys(resolve(name.strip()) for name in said.split(",")))
    except ModelNotFound as error:
        raise Failure(f"--models: {error.message}", Exit.MISUSED) from error


def _made_up(models: Sequence[str]) -> Document:
    """The configuration that is meant when none is named: these models, one at a time."""
    model = {"cmd": "engine --port ${PORT}", "parallel": MADE_UP_PARALLEL}
    return Document({"models": dict.fromkeys(models, model)})


# --- settings ------------------------------------------------------------------------------------------------------------


def _settings(asked: Asked, document: Document) -> dict[str, Config]:
    """The configurations to compare, by the name of each; the first is the one that is there."""
    settings = {", ".join(asked.changes) or AS_CONFIGURED: list(asked.changes)}
    for versus in asked.versus:
        settings.setdefault(versus, [*asked.changes, *versus.split(",")])
    return {name: _set(document, name, changes) for name, changes in settings.items()}


def _set(document: Document, name: str, changes: Sequence[str]) -> Config:
    try:
        return load([changed(document, changes)], os.environ)
    except ValueError as error:
        raise Failure(str(error), Exit.MISUSED) from error
    except ConfigError as error:
        lines = [f"{name}: {problem.path}: {problem.message}" for problem in error.problems]
        raise Failure("\n".join(lines), Exit.MISUSED, prefix="") from error


# --- the work ------------------------------------------------------------------------------------------------------------


def _play(
    configs: Mapping[str, Config], trace: Trace, times: Times, timelines: Mapping[str, Timeline]
) -> dict[str, Report]:
    reports = {}
    with _progress(len(trace)) as begin:
        for name, config in configs.items():
            played = simulate(
                config, trace, times, timeline=timelines.get(name), progress=begin(name)
            )
            reports[name] = report(played, trace)
    return reports


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """Bars on a terminal, one for each setting; nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def begin(name: str) -> Callable[[int], None]:
            task = progress.add_task(name, total=total)
            return lambda arrived: progress.update(task, completed=arrived)

        yield begin


def _check_answers(reports: Mapping[str, Report]) -> None:
    for name, known in reports.items():
        if known.total.unanswered:
            text = f"{name}: {known.total.unanswered} requests were never answered"
            raise Failure(f"{text}: a defect of the scheduler, please report it")


# --- pictures ------------------------------------------------------------------------------------------------------------


def _check_plots() -> None:
    try:
        from matplotlib import figure  # noqa: F401, PLC0415 - to say at once that it is missing
    except ImportError as error:
        text = "--png needs matplotlib: pip install 'corral[plots]'"
        raise Failure(text, Exit.MISUSED) from error


def _numbered(png: Path, number: int) -> Path:
    """`out.png`, `out-2.png`, `out-3.png`."""
    return png if number == 1 else png.with_stem(f"{png.stem}-{number}")


def _draw(timeline: Timeline, title: str, png: Path) -> None:
    try:
        png.write_bytes(picture.draw(timeline, title))
    except OSError as error:
        raise Failure(f"{png}: {error.strerror or error}") from error
    say(f"corral: wrote {png} ({title})")

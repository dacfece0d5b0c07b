"""Simulated runs as tables for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from corral.cli.tables import console, duration
from corral.simulator.report import Line, Report, Waits
from corral.simulator.times import Times
from corral.simulator.trace import Trace

MOST_ROWS = 20
"""More models or callers than that are left to `--json`: those with the fewest requests."""
WAITED = ("WAIT P50", "WAIT P95", "LONGEST")
ENDED = ("SERVED", "TIMED OUT", "REFUSED")


def show(
    trace: Trace,
    times: Times,
    reports: Mapping[str, Report],
    origin: str,
    about: Sequence[str] = (),
) -> None:
    """What was played, then one row for each setting; models and callers when there is only one."""
    out = console()
    for line in (*introduction(trace, times, origin), *about):
        out.print(Text(line))
    out.print()
    out.print(_settings(reports))
    if len(reports) > 1:
        return
    for known in reports.values():
        loads = {name: str(known.loads_of.get(name, 0)) for name in known.models}
        for table in (_lines("MODEL", known.models, loads), _lines("CALLER", known.callers)):
            out.print()
            out.print(table)


def introduction(trace: Trace, times: Times, origin: str) -> list[str]:
    """What was played, and what was assumed."""
    lasts = duration(trace.arrivals[-1]) if len(trace) else "no time"
    models, callers = _count(len(trace.models), "model"), _count(len(trace.callers), "caller")
    lines = [
        f"{_count(len(trace), 'request')} for {models} from {callers} within {lasts} ({origin})"
    ]
    if trace.out_of_order:
        lines.append(f"sorted by arrival: {_count(trace.out_of_order, 'line')} out of order")
    others = f" other than {', '.join(times.models)}" if times.models else ""
    lines.append(f"assumed of every model{others}: {times.usual}")
    return [*lines, *(f"given for {name}: {pace}" for name, pace in times.models.items())]


def as_json(trace: Trace, times: Times, reports: Mapping[str, Report]) -> str:
    """All numbers. Seconds; shares from 0 to 1."""
    paces = {name: asdict(pace) for name, pace in times.models.items()}
    known = {
        "trace": {
            "requests": len(trace),
            "models": len(trace.models),
            "callers": len(trace.callers),
            "seconds": trace.arrivals[-1] if len(trace) else 0.0,
            "out_of_order": trace.out_of_order,
        },
        "assumed": {**asdict(times.usual), "models": paces},
        "runs": [{"setting": name, **_run(report)} for name, report in reports.items()],
    }
    return json.dumps(known, indent=2)


def _run(report: Report) -> dict[str, Any]:
    models = {
        name: {"loads": report.loads_of.get(name, 0), **_line(line)}
        for name, line in report.models.items()
    }
    return {
        "seconds": report.seconds,
        "swaps": report.swaps,
        "loads": report.loads,
        "share": {"serving": report.serving, "loading": report.loading, "idle": report.idle},
        **_line(report.total),
        "models": models,
        "callers": {name: _line(line) for name, line in report.callers.items()},
    }


def _line(line: Line) -> dict[str, Any]:
    waits = line.waits
    return {
        "requests": line.requests,
        "served": line.served,
        "timed_out": line.timed_out,
        "refused": dict(line.refused),
        "unanswered": line.unanswered,
        "wait": waits and {"p50": waits.p50, "p95": waits.p95, "max": waits.most},
    }


def _settings(reports: Mapping[str, Report]) -> Table:
    shares = ("SERVING", "LOADING", "IDLE")
    table = _table("SETTING", "SWAPS", "LOADS", *shares, *WAITED, *ENDED, "LASTED")
    for name, report in reports.items():
        parts = (f"{share:.1%}" for share in (report.serving, report.loading, report.idle))
        cells = (str(report.swaps), str(report.loads), *parts, *_cells(report.total))
        table.add_row(Text(name, overflow="fold"), *cells, duration(report.seconds))
    return table


def _lines(
    heading: str, lines: Mapping[str, Line], loads: Mapping[str, str] | None = None
) -> Table:
    more = ("LOADS",) if loads else ()
    table = _table(heading, "REQUESTS", *more, *WAITED, *ENDED)
    busiest = sorted(lines, key=lambda name: lines[name].requests, reverse=True)
    for name in busiest[:MOST_ROWS]:
        own = (loads[name],) if loads else ()
        cells = (str(lines[name].requests), *own, *_cells(lines[name]))
        table.add_row(Text(name, overflow="fold"), *cells)
    if left_out := busiest[MOST_ROWS:]:
        table.add_row(f"and {len(left_out)} more")
    return table


def _cells(line: Line) -> Sequence[str]:
    kinds = ", ".join(f"{count} {code}" for code, count in line.refused.items())
    return *_waits(line.waits), str(line.served), str(line.timed_out), kinds or "0"


def _waits(waits: Waits | None) -> Sequence[str]:
    if waits is None:
        return "", "", ""
    return tuple(f"{seconds:.1f}s" for seconds in (waits.p50, waits.p95, waits.most))


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"

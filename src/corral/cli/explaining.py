"""`corral explain`: one sentence, then what it rests on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from corral.cli.client import Explanation, Option, Queue, Victim
from corral.cli.tables import duration

OUTCOMES = {
    "served": "would be served at once",
    "would wait": "would have to wait",
    "would swap": "would be loaded in the place of others",
    "refused": "would be refused",
}


def page(told: Explanation, now: float | None = None) -> Group:
    """For people. `now` in epoch seconds."""
    return Group(*_parts(told, time.time() if now is None else now))


def sentence(told: Explanation) -> str:
    """What would happen to a request, and why."""
    return f"A request for {told.model} {OUTCOMES.get(told.outcome, told.outcome)}: {told.reason}."


def _parts(told: Explanation, now: float) -> Iterator[RenderableType]:
    yield Text(sentence(told))
    yield _grid(_facts(told))
    if told.victims:
        yield Text()
        yield _table(("HAS TO LEAVE", "STATE", "IN FLIGHT", "COST"), map(_victim, told.victims))
    if told.waiting:
        yield Text()
        rows = (_queue(queue, now) for queue in told.waiting)
        yield _table(("WAITED FOR", "REQUESTS", "CALLERS", "SINCE"), rows)


def _facts(told: Explanation) -> Iterator[tuple[str, str]]:
    if told.rule:
        yield "rule", _with_cost(told.rule, told.cost)
    if told.runner_up:
        yield "runner-up", _runner_up(told.runner_up)
    for one in told.waits_for:
        yield "because", one.why
    if told.position is not None:
        yield "place", f"{told.position} among all who wait"
    if told.expected_wait is not None:
        yield "wait", f"about {duration(told.expected_wait)}"
    if told.usual_load is not None:
        yield "a load", f"usually takes {told.usual_load:.3g} s"


def _runner_up(option: Option) -> str:
    leaving = f"{', '.join(option.victims) or 'nobody'} would leave"
    return f"{_with_cost(option.rule, option.cost)}: {leaving}"


def _with_cost(rule: str, cost: float | None) -> str:
    return rule if cost is None else f"{rule}, cost {cost:g}"


def _victim(victim: Victim) -> tuple[str, ...]:
    cost = "" if victim.cost is None else f"{victim.cost:g}"
    return victim.model, victim.state, str(victim.in_flight), cost


def _queue(queue: Queue, now: float) -> tuple[str, ...]:
    since = f"{duration(now - queue.since)} ago"
    return queue.model, str(queue.requests), str(queue.callers), since


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    return _filled(Table.grid(padding=(0, 2)), rows)


def _table(headings: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Table:
    return _filled(Table(*headings, box=box.SIMPLE_HEAD, show_edge=False), rows)


def _filled(table: Table, rows: Iterable[tuple[str, ...]]) -> Table:
    """Text from the server is never read as markup."""
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    return table

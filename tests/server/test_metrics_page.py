"""The page about metrics and the dashboard say what there is, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from corral.gateway.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text("utf-8")
BOARD = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))


def row(metric):
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def queries(board):
    """Every expression of every panel, and those that fill the variables."""
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_the_page_lists_every_metric_and_no_other():
    listed = [line for line in PAGE.splitlines() if re.match(r"\| `(corral|llamaswap)_", line)]
    assert listed == [row(metric) for metric in METRICS]


def shown_names():
    for metric in METRICS:
        yield metric.name, metric
        if metric.kind == "histogram":
            yield from ((metric.name + end, metric) for end in ("_bucket", "_sum", "_count"))


@pytest.mark.parametrize("query", sorted(set(queries(BOARD))))
def test_what_the_dashboard_asks_for_exists(query):
    known = dict(shown_names())
    asked = re.findall(r"\b(?:corral|llamaswap)_\w+", query)
    assert asked
    for name in asked:
        assert name in known
    labels = set(known[asked[0]].labels) | {"le"}
    named = re.findall(r"(\w+)\s*=~?", query)
    grouped = [
        word for by in re.findall(r"by \(([^)]*)\)", query) for word in re.split(r",\s*", by)
    ]
    assert set(named + grouped) <= labels


def test_the_dashboard_shows_everything_that_corral_counts():
    asked = " ".join(queries(BOARD))
    for metric in METRICS:
        if metric.name.startswith("corral_"):
            assert metric.name in asked, metric.name


def test_panels_lie_beside_each_other():
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)

"""A timeline as a PNG: one lane per model, and below them how many requests wait. Needs matplotlib, which is imported when it is used."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from corral.simulator.timeline import Doing, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LANES = 40
"""More models than that are left out: those that were up the shortest."""
COLUMNS = 2400
COLOURS = {
    Doing.UNLOADED: "#ffffff",
    Doing.LOADING: "#f2b134",
    Doing.SERVING: "#2e8b57",
    Doing.IDLE: "#cfe3d6",
    Doing.DRAINING: "#7b6fb0",
    Doing.UNLOADING: "#b5483a",
}


def draw(timeline: Timeline, title: str) -> bytes:
    """The picture. Raises ImportError when matplotlib is not installed."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import

    lanes = busiest(timeline)
    figure = Figure(figsize=(14, 2.6 + 0.28 * len(lanes)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[max(1, len(lanes)) * 0.28, 1])
    left_out = len(timeline.lanes) - len(lanes)
    above.set_title(f"{title} ({left_out} models left out)" if left_out else title, loc="left")
    _draw_lanes(above, timeline, lanes)
    _draw_waiting(below, timeline)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def busiest(timeline: Timeline) -> list[str]:
    """In the order of their first start."""
    up = {name: lane.up(timeline.ends) for name, lane in timeline.lanes.items()}
    kept = set(sorted(up, key=up.__getitem__, reverse=True)[:MOST_LANES])
    return [name for name in timeline.lanes if name in kept]


def _draw_lanes(axes: Axes, timeline: Timeline, lanes: list[str]) -> None:
    from matplotlib.colors import ListedColormap  # noqa: PLC0415 - as above
    from matplotlib.patches import Patch  # noqa: PLC0415 - as above

    axes.imshow(
        [timeline.lanes[name].cells(timeline.ends, COLUMNS) for name in lanes] or [[0]],
        cmap=ListedColormap(list(COLOURS.values())),
        vmin=min(Doing),
        vmax=max(Doing),
        aspect="auto",
        interpolation="nearest",
        extent=(0, _width(timeline), max(1, len(lanes)) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(lanes)), lanes)
    for between in range(1, len(lanes)):
        axes.axhline(between - 0.5, color="white", linewidth=2)
    known = [Patch(facecolor=COLOURS[d], label=d.name.lower()) for d in Doing if d]
    axes.legend(handles=known, loc="lower right", ncols=len(known), bbox_to_anchor=(1, 1))


def _draw_waiting(axes: Axes, timeline: Timeline) -> None:
    step = _width(timeline) / COLUMNS
    times = [step * n for n in range(COLUMNS)]
    axes.fill_between(times, timeline.waiting(COLUMNS), step="post", color="#4a6fa5")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("waiting")
    axes.set_xlabel("seconds since the first arrival")


def _width(timeline: Timeline) -> float:
    return timeline.ends or 1.0

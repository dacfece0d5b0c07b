"""What is drawn, and that it can be drawn."""

from __future__ import annotations

import pytest

from corral.simulator import picture
from corral.simulator.run import simulate
from corral.simulator.timeline import Doing, Lane, Timeline
from corral.simulator.times import Pace, Times

PNG = b"\x89PNG\r\n\x1a\n"


def filled(bench, trace, **config):
    timeline = Timeline()
    simulate(bench.config(**config), trace, Times(Pace(load=10.0, stop=2.0)), timeline=timeline)
    return timeline


def spans(lane):
    return list(zip(lane.times, map(Doing, lane.doings), strict=True))


@pytest.fixture
def swap(bench):
    """a serves until 16, b wants its room from 45 on, but only a has come back by then."""
    trace = bench.trace((0, "a", "x", 6.0), (40, "a", "x", 10.0), (45, "b", "y", 3.0))
    return filled(bench, trace, models="ab", settings={"maxWait": 1})


def test_a_lane_says_what_a_model_did(swap):
    assert spans(swap.lanes["a"]) == [
        (0.0, Doing.LOADING),
        (10.0, Doing.SERVING),
        (16.0, Doing.IDLE),
        (40.0, Doing.SERVING),
        (46.0, Doing.DRAINING),
        (50.0, Doing.UNLOADING),
        (52.0, Doing.UNLOADED),
    ]
    assert spans(swap.lanes["b"])[:2] == [(0.0, Doing.UNLOADED), (52.0, Doing.LOADING)]
    assert swap.ends == 65.0
    assert swap.lanes["a"].up(swap.ends) == 52.0


def test_cells_show_what_was_done_longest(swap):
    cells = swap.lanes["a"].cells(65.0, 13)  # of 5 seconds each
    assert [cell.name[0] for cell in cells] == list("LLSIIIIISDUUU")
    assert swap.lanes["a"].cells(65.0, 1) == [Doing.IDLE]
    assert Lane().cells(0.0, 3) == [Doing.UNLOADED] * 3


def test_the_most_that_waited_is_shown(swap):
    assert swap.waiting(13) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert swap.waiting(1) == [1]
    assert Timeline().waiting(2) == [0, 0]


def test_a_picture_is_a_png_and_the_same_again(swap):
    png = picture.draw(swap, "a swap")
    assert png.startswith(PNG)
    assert picture.draw(swap, "a swap") == png
    assert picture.draw(swap, "another title") != png


def test_an_empty_timeline_can_be_drawn():
    assert picture.draw(Timeline(), "nothing").startswith(PNG)


def test_only_the_busiest_of_many_models_are_drawn(bench):
    names = [f"m{n}" for n in range(picture.MOST_LANES + 5)]
    members = {"all": {"swap": False, "members": names}}
    trace = bench.trace(*((n, name) for n, name in enumerate(names)))
    timeline = filled(bench, trace, models=names, groups=members)
    assert len(timeline.lanes) == len(names)
    assert picture.busiest(timeline) == names[: picture.MOST_LANES]
    assert picture.draw(timeline, "many").startswith(PNG)

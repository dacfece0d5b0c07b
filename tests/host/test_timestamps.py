"""Go's layouts, in zones of either sign. What is expected is what Go's own `Format` prints for these moments."""

from __future__ import annotations

import os
import time

import pytest

from corral.config.model import Config
from corral.host.timestamps import LAYOUTS, Timestamps

# 2026-01-05 is a Monday.
MORNING = 1767596645.012345  # 07:04:05.012345 UTC
PRINTED = {
    "": "08:04:05",
    "ansic": "Mon Jan  5 08:04:05 2026",
    "unixdate": "Mon Jan  5 08:04:05 CET 2026",
    "rubydate": "Mon Jan 05 08:04:05 +0100 2026",
    "rfc822": "05 Jan 26 08:04 CET",
    "rfc822z": "05 Jan 26 08:04 +0100",
    "rfc850": "Monday, 05-Jan-26 08:04:05 CET",
    "rfc1123": "Mon, 05 Jan 2026 08:04:05 CET",
    "rfc1123z": "Mon, 05 Jan 2026 08:04:05 +0100",
    "rfc3339": "2026-01-05T08:04:05+01:00",
    "kitchen": "8:04AM",
    "stamp": "Jan  5 08:04:05",
    "stampmilli": "Jan  5 08:04:05.012",
    "stampmicro": "Jan  5 08:04:05.012345",
}


@pytest.fixture
def zone(monkeypatch):
    """`zone("CET-1")`: this process's, as POSIX writes it."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system's zone cannot be set for one process")

    def go(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield go
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("layout", PRINTED)
def test_every_layout(zone, layout):
    zone("CET-1")
    assert Timestamps(layout).text(MORNING) == PRINTED[layout]


def test_there_is_one_for_every_value_of_the_key():
    assert set(LAYOUTS) == set(Config.model_fields["log_time_format"].annotation.__args__)


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (1767596645.0, "2026-01-05T07:04:05Z"),
        (1767596645.5, "2026-01-05T07:04:05.5Z"),
        (1767596645.25, "2026-01-05T07:04:05.25Z"),
    ],
)
def test_trailing_zeros_of_a_fraction_are_left_out(zone, when, text):
    zone("UTC0")
    assert Timestamps("rfc3339nano").text(when) == text


def test_nine_digits_are_nine_digits(zone):
    zone("UTC0")
    assert Timestamps("stampnano").text(1767596645.5) == "Jan  5 07:04:05.500000000"


def test_west_and_half_hours_and_afternoon(zone):
    zone("NST3:30")
    stamps = Timestamps("rfc3339")
    assert stamps.text(MORNING) == "2026-01-05T03:34:05-03:30"
    assert Timestamps("kitchen").text(MORNING + 12 * 3600) == "3:34PM"
    assert Timestamps("kitchen").text(MORNING + 20.5 * 3600) == "12:04AM"


def test_each_second_is_told_anew(zone):
    zone("UTC0")
    stamps = Timestamps("stampmilli")
    told = [stamps.text(MORNING + n / 2) for n in range(4)]
    assert [text[-6:] for text in told] == ["05.012", "05.512", "06.012", "06.512"]
    assert stamps.text(MORNING) == told[0], "also backwards"


def test_names_are_english(zone):
    zone("UTC0")
    assert os.environ["TZ"] == "UTC0"
    assert Timestamps("rfc850").text(MORNING + 3 * 86400).startswith("Thursday, 08-Jan")

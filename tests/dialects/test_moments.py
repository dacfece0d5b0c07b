"""Points in time, as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from corral.dialects.moments import moment, timestamp
from corral.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", None),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1500),
        ("1970-01-01T00:00:00.1239Z", 123),
        ("1970-01-01T00:00:00.123456789Z", 123),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),  # a plus that was not encoded
        ("1969-12-31T23:59:59Z", -1000),
    ],
)
def test_a_moment_is_read(text, at):
    assert moment("after", text) == at


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "0",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T00:00:00Z",
        "\uff12026-01-31T12:00:00Z",
    ],
)
def test_what_is_none_is_refused_by_name(text):
    with pytest.raises(InvalidRequest, match="`after` must be a time like 2026-01-31T12:00:00Z"):
        moment("after", text)


@given(strategies.integers(min_value=-(10**13), max_value=10**14))
def test_what_is_shown_is_read_back(at):
    assert moment("x", timestamp(at)) == at


def test_a_timestamp_has_milliseconds():
    assert timestamp(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"

"""Go's regular expressions and durations."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.patterns import go_duration, go_pattern


@pytest.mark.parametrize(
    ("text", "found", "not_found"),
    [
        (r".*\.(js|css)$", "/a/b.js", "/a/b.jsx"),
        (r"^/static/", "/static/x", "/x/static/"),
        (r"a\z", "ba", "ba\n"),
        (r"^[[:alpha:]_]+\z", "ab_", "ab1"),
        (r"^[^[:space:]]+\z", "ab", "a b"),
        (r"^[[:punct:]]\z", "]", "a"),
        (r"^\w+\z", "abc", "é"),
        (r"(?i)logo", "/LOGO.png", "/lego"),
        (r"(?P<n>x)y", "xy", "x"),
        (r"\\z", r"\z", "z"),
        (r"[[]", "[", "]"),
        (r"^[a&&b]$", "&", "c"),
    ],
)
def test_a_pattern_means_what_it_means_in_go(text, found, not_found):
    pattern = go_pattern(text)
    assert pattern.search(found)
    assert not pattern.search(not_found)


@pytest.mark.parametrize(
    "text", ["(", "a**", "[", "[[:nope:]]", "[[:^alpha:]]", r"\pL", "a{99999999999}"]
)
def test_a_bad_pattern_has_a_reason(text):
    with pytest.raises(ValueError, match=r"\w"):
        go_pattern(text)


@given(st.text("ab()[]:^\\z?*+{}1,|-&~.$palh", max_size=20))
def test_any_text_is_a_pattern_or_a_mistake(text):
    with suppress(ValueError):
        assert isinstance(go_pattern(text), re.Pattern)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("1h", 3600),
        ("1.5h", 5400),
        (".5m", 30),
        ("500ms", 0.5),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("-3s", -3),
        ("+3s", 3),
        ("0", 0),
        (" 5s ", 5),
        ("5", None),
        ("s", None),
        ("5 s", None),
        ("5d", None),
        ("", None),
        ("1..5s", None),
    ],
)
def test_durations(text, seconds):
    assert go_duration(text) == (seconds if seconds is None else pytest.approx(seconds))

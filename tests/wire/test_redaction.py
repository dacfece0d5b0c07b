"""What opens a door is not shown."""

from __future__ import annotations

import pytest

from corral.wire.redaction import REDACTED, redacted, texts


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-auth-token",
        "x-amz-security-token",
        "cf-access-client-secret",
        "x-password",
    ],
)
def test_a_field_that_holds_a_secret_keeps_its_name_only(name):
    assert redacted([(name.encode(), b"hunter2")]) == [(name.encode(), REDACTED)]


@pytest.mark.parametrize(
    "name",
    ["content-type", "x-session-id", "x-ratelimit-remaining-tokens", "x-litellm-session-id"],
)
def test_other_fields_are_shown(name):
    assert redacted([(name.encode(), b"a=b; c")]) == [(name.encode(), b"a=b; c")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"http://h/x?api_key=hunter2&n=1", b"http://h/x?api_key=[REDACTED]&n=1"),
        (b"http://h/x?n=1&access_token=hunter2#top", b"http://h/x?n=1&access_token=[REDACTED]#top"),
        (b"/x?Key=hunter2", b"/x?Key=[REDACTED]"),
        (b"/x?keyboard=qwerty&monkey=see", b"/x?keyboard=[REDACTED]&monkey=[REDACTED]"),
        (b"/x?n=1", b"/x?n=1"),
    ],
)
def test_a_secret_in_a_query_is_left_out_wherever_it_stands(value, shown):
    assert redacted([(b"referer", value)]) == [(b"referer", shown)]


def test_fields_become_text_and_repeated_ones_one():
    headers = [(b"accept", b"a"), (b"x", b"\xe9"), (b"accept", b"b")]
    assert texts(headers) == {"accept": "a, b", "x": "é"}


def test_any_number_of_names_costs_no_memory():
    for n in range(5000):
        assert redacted([(b"x-%d" % n, b"1")]) == [(b"x-%d" % n, b"1")]

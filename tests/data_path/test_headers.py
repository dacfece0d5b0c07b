"""Header fields: what a relay passes on."""

import pytest

from corral.wire import headers as h


def test_hop_by_hop_fields_and_those_that_connection_names_stay_behind():
    came = [
        (b"connection", b"keep-alive, X-Secret"),
        (b"x-secret", b"1"),
        (b"connection", b"x-other"),
        (b"x-other", b"2"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"content-length", b"3"),
        (b"expect", b"100-continue"),
        (b"accept", b"*/*"),
    ]
    assert h.request_headers(came) == [(b"accept", b"*/*")]
    assert h.answer_headers(came) == [
        (b"content-length", b"3"),
        (b"expect", b"100-continue"),
        (b"accept", b"*/*"),
    ]
    assert h.connection_tokens(came) == {b"keep-alive", b"x-secret", b"x-other"}


@pytest.mark.parametrize("usual", [b"keep-alive", b"close", b"Keep-Alive", b""])
def test_a_usual_connection_field_goes_alone(usual):
    assert h.answer_headers([(b"connection", usual), (b"x", b"y")]) == [(b"x", b"y")]


def test_order_and_repetition_are_kept():
    cookies = [(b"set-cookie", b"a=1"), (b"x", b"y"), (b"set-cookie", b"b=2")]
    assert h.answer_headers(cookies) == cookies


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"text/event-stream", b"text/event-stream"),
        (b"Text/Event-Stream ; Charset=UTF-8", b"text/event-stream"),
        (b"", b""),
        (None, b""),
    ],
)
def test_content_types(value, kind):
    assert h.media_type(value) == kind


@pytest.mark.parametrize(("status", "text"), [(404, "Not Found"), (499, ""), (0, "")])
def test_a_status_without_a_name_has_none(status, text):
    assert h.phrase(status) == text


@pytest.mark.parametrize(
    ("value", "length"), [(b"12", 12), (b"0", 0), (b"-1", None), (b"1e3", None), (b"", None)]
)
def test_lengths(value, length):
    assert h.content_length([(b"content-length", value)]) == length
    assert h.content_length([]) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"abc-123", "abc-123"),
        (b"x" * 128, "x" * 128),
        (b"x" * 129, None),
        (b"a b", None),
        (b"a\n", None),
        (b"\xff", None),
        (b"", None),
        (None, None),
    ],
)
def test_request_ids_that_are_fit_to_repeat(value, kept):
    assert h.request_id(value) == kept

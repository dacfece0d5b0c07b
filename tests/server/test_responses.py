"""Failures as answers: statuses, headers, bodies, and that the docs know every one."""

import json
import re
from pathlib import Path

import pytest

from corral import errors
from corral.dialects.anthropic import ANTHROPIC
from corral.dialects.openai import OPENAI
from corral.dialects.plain import PLAIN
from corral.errors import CorralError
from corral.server.responses import STATUS, known, render, render_event, status
from corral.wire.sse import Parser

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"


def family(kind):
    """A class and all below it that corral itself defines."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from family(child)


EVERY = sorted(family(CorralError), key=lambda kind: kind.__name__)
SPECIAL = {
    errors.MethodNotAllowed: lambda: errors.MethodNotAllowed("no", allowed=["GET", "HEAD"]),
    errors.ConfigError: lambda: errors.ConfigError([errors.Problem("c.yaml", 1, 1, "a", "b")]),
}


def sample(kind, **kwargs):
    return SPECIAL[kind]() if kind in SPECIAL else kind("what happened", **kwargs)


def headers(error, dialect=PLAIN):
    return dict(render(error, dialect, request_id="r1").headers)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_failure_has_its_own_row_and_a_line_in_the_docs(kind):
    assert kind in STATUS
    line = re.search(
        rf"^\| `{kind.code}` \| (\d+) \|[^|]+\|[^|]+\|$", DOCS.read_text(), re.MULTILINE
    )
    assert line is not None, f"docs/errors.md has no line for {kind.code}"
    assert int(line[1]) == STATUS[kind]


def test_the_docs_have_no_other_failures():
    assert set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), re.MULTILINE)) == {
        k.code for k in EVERY
    }


def test_codes_are_unique():
    assert len({kind.code for kind in EVERY}) == len(EVERY)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (errors.ModelRequired, 400),
        (errors.Unauthorized, 401),
        (errors.ModelNotFound, 404),
        (errors.ModelNotLoaded, 409),
        (errors.BodyTooLarge, 413),
        (errors.ConcurrencyLimit, 429),
        (errors.UpstreamUnreachable, 502),
        (errors.LoadFailed, 503),
        (errors.LoadTimeout, 504),
    ],
)
def test_statuses(kind, expected):
    assert render(sample(kind), OPENAI, request_id="r1").status == expected


def test_a_failure_without_a_row_is_answered_as_its_parent():
    class Pickier(errors.ModelNotFound):
        code = "pickier"

    assert status(Pickier("x")) == 404


def test_the_answer_is_json_of_the_dialect_and_its_headers_are_true():
    answer = render(sample(errors.QueueFull), ANTHROPIC, request_id="r1")
    sent = dict(answer.headers)
    assert sent[b"content-type"] == b"application/json"
    assert int(sent[b"content-length"]) == len(answer.body)
    assert sent[b"x-request-id"] == b"r1"
    body = json.loads(answer.body)
    assert body["type"] == "error"
    assert body["request_id"] == "r1"
    assert body["error"]["code"] == "queue_full"


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0, b"0"), (0.01, b"1"), (1, b"1"), (1.2, b"2"), (60.0, b"60"), (-3, b"0")],
)
def test_retry_after_is_whole_seconds_rounded_up(seconds, header):
    assert headers(sample(errors.QueueFull, retry_after=seconds))[b"retry-after"] == header


def test_no_retry_after_where_waiting_does_not_help():
    assert b"retry-after" not in headers(sample(errors.ModelNotFound))


def test_a_missing_key_is_challenged_and_nothing_else_is():
    assert headers(sample(errors.Unauthorized))[b"www-authenticate"].startswith(b"Basic realm=")
    assert b"www-authenticate" not in headers(sample(errors.InvalidRequest))


def test_a_wrong_method_is_told_the_right_ones():
    answer = render(sample(errors.MethodNotAllowed), OPENAI, request_id="r1")
    assert answer.status == 405
    assert dict(answer.headers)[b"allow"] == b"GET, HEAD"


@pytest.mark.parametrize("error", [ValueError("secret path"), KeyError("x"), ConnectionError()])
def test_an_exception_that_is_nobodys_says_where_to_look_and_no_more(error):
    answer = render(error, OPENAI, request_id="r-77")
    assert answer.status == 500
    inner = json.loads(answer.body)["error"]
    assert inner["code"] == "internal_error"
    assert "r-77" in inner["message"]
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_known_failure_stays_itself():
    error = errors.QueueFull("full")
    assert known(error, request_id="r1") is error


def test_a_request_id_cannot_break_the_headers():
    sent = dict(render(errors.QueueFull("full"), PLAIN, request_id="ü☃").headers)
    assert sent[b"x-request-id"] == "ü?".encode("latin-1")


def test_in_a_stream_the_failure_is_an_event():
    event = render_event(RuntimeError("secret"), ANTHROPIC, request_id="r-77")
    assert event.startswith(b"\n\nevent: error\ndata: ")
    assert b"r-77" in event
    assert b"secret" not in event
    assert render_event(RuntimeError(), PLAIN, request_id="r-77") == b""


@pytest.mark.parametrize("cut", [b"", b"data: whole\n\n", b"data: whole\n", b'data: {"ha', b"dat"])
def test_an_event_that_the_engine_cut_off_does_not_swallow_the_failure(cut):
    event = render_event(errors.UpstreamUnreachable("it died"), OPENAI, request_id="r1")
    last = Parser().feed(cut + event)[-1]
    assert json.loads(last.data)["error"]["message"] == "it died"

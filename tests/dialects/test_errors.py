"""What a failure looks like in each dialect: whole, and as the last event of a stream."""

import json

import pytest
from anthropic.types import ErrorResponse
from openai.types.responses import ResponseErrorEvent

from corral.dialects.anthropic import ANTHROPIC
from corral.dialects.llamacpp import LLAMACPP
from corral.dialects.openai import OPENAI, RESPONSES
from corral.dialects.plain import PLAIN
from corral.errors import ConfigError, LoadFailed, ModelNotFound, ModelRequired, Problem, QueueFull
from corral.wire.sse import Parser

ALL = [OPENAI, RESPONSES, ANTHROPIC, LLAMACPP, PLAIN]
FAILED = LoadFailed("a did not start", exit_code=-9, log_tail=["loading…", 'no "file"'])


def body(dialect, error, status, **kwargs):
    return json.loads(dialect.body(error, status, **kwargs))


def event(dialect, error, status):
    (only,) = Parser().feed(dialect.stream(error, status))
    return only.event, json.loads(only.data)


@pytest.mark.parametrize("dialect", ALL, ids=lambda d: d.name)
def test_the_code_is_corrals_in_every_dialect(dialect):
    for error in (QueueFull("full"), ModelNotFound("what?"), LoadFailed("m did not start")):
        assert body(dialect, error, 400)["error"]["code"] == error.code
        assert body(dialect, error, 400)["error"]["message"] == error.message


@pytest.mark.parametrize("dialect", ALL, ids=lambda d: d.name)
def test_a_failed_load_carries_its_exit_code_and_log(dialect):
    inner = body(dialect, FAILED, 503)["error"]
    assert inner["exit_code"] == -9
    assert inner["log"] == ["loading…", 'no "file"']


@pytest.mark.parametrize(
    ("said", "tail", "shown"),
    [
        ("a died", ["one", " two \n"], "a died (its last line: two)"),
        ("a died: two", ["one", "two"], "a died: two"),
        ("a died", [], "a died"),
        ("a died", ["x" * 999], f"a died (its last line: {'x' * 200})"),
        ("a died", ["one", ""], "a died"),
    ],
)
def test_the_message_of_a_failed_load_has_the_last_line(said, tail, shown):
    for dialect in ALL:
        assert body(dialect, LoadFailed(said, log_tail=tail), 503)["error"]["message"] == shown


def test_a_configuration_carries_its_problems():
    error = ConfigError([Problem("c.yaml", 3, 5, "models.a", "no `cmd`")])
    (problem,) = body(PLAIN, error, 422)["error"]["problems"]
    assert problem == {
        "file": "c.yaml",
        "line": 3,
        "column": 5,
        "path": "models.a",
        "message": "no `cmd`",
    }


@pytest.mark.parametrize("dialect", ALL, ids=lambda d: d.name)
def test_the_request_id_is_in_the_body(dialect):
    assert body(dialect, FAILED, 503, request_id="r1")["request_id"] == "r1"
    assert "request_id" not in body(dialect, FAILED, 503)


@pytest.mark.parametrize(
    ("status", "openai", "anthropic", "llamacpp"),
    [
        (400, "invalid_request_error", "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error", "authentication_error"),
        (403, "authentication_error", "permission_error", "permission_error"),
        (404, "invalid_request_error", "not_found_error", "not_found_error"),
        (405, "invalid_request_error", "invalid_request_error", "invalid_request_error"),
        (409, "invalid_request_error", "conflict_error", "invalid_request_error"),
        (413, "invalid_request_error", "request_too_large", "invalid_request_error"),
        (422, "invalid_request_error", "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error", "invalid_request_error"),
        (500, "server_error", "api_error", "server_error"),
        (502, "server_error", "api_error", "server_error"),
        (503, "server_error", "overloaded_error", "unavailable_error"),
        (504, "server_error", "timeout_error", "server_error"),
    ],
)
def test_types(status, openai, anthropic, llamacpp):
    error = QueueFull("full")
    for dialect, kind in [
        (OPENAI, openai),
        (ANTHROPIC, anthropic),
        (LLAMACPP, llamacpp),
        (PLAIN, openai),
    ]:
        assert body(dialect, error, status)["error"]["type"] == kind


def test_openais_body_has_its_four_keys_and_names_the_parameter():
    assert body(OPENAI, ModelRequired("which?"), 400) == {
        "error": {
            "message": "which?",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_required",
        }
    }
    assert body(OPENAI, QueueFull("full"), 429)["error"]["param"] is None


def test_anthropics_body_is_one_that_its_client_knows():
    parsed = ErrorResponse.model_validate(body(ANTHROPIC, FAILED, 503, request_id="r1"))
    assert (parsed.type, parsed.error.type, parsed.request_id) == ("error", "api_error", "r1")


def test_the_event_of_each_stream_holds_the_same_object():
    assert event(OPENAI, FAILED, 503) == ("message", body(OPENAI, FAILED, 503))
    assert event(LLAMACPP, FAILED, 503) == ("message", body(LLAMACPP, FAILED, 503))
    assert event(ANTHROPIC, FAILED, 503) == ("error", body(ANTHROPIC, FAILED, 503))
    assert PLAIN.stream(FAILED, 503) == b""


def test_the_responses_event_is_that_apis_and_has_an_error_too():
    name, data = event(RESPONSES, FAILED, 503)
    assert name == "error"
    assert data["error"] == body(OPENAI, FAILED, 503)["error"]
    parsed = ResponseErrorEvent.model_validate(data)
    assert (parsed.code, parsed.message) == (
        "model_load_failed",
        'a did not start (its last line: no "file")',
    )

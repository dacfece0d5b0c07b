"""The route table: every route that names a model, once."""

import pytest

from corral.dialects.endpoints import ENDPOINTS, allowed, find

JSON = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/reranking",
    "/rerank",
    "/reranking",
    "/infill",
    "/completion",
    "/embedding",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/v1/audio/speech",
    "/v1/audio/voices",
    "/v1/images/generations",
    "/sdapi/v1/txt2img",
    "/sdapi/v1/img2img",
    "/audioapi/v1/tasks/run",
]
FORM = ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"]
QUERY = [
    "/v1/realtime",
    "/v1/audio/voices",
    "/sdapi/v1/loras",
    "/props",
    "/slots",
    "/lora-adapters",
]


@pytest.mark.parametrize(
    ("method", "named", "paths"),
    [("POST", "json", JSON), ("POST", "form", FORM), ("GET", "query", QUERY)],
)
def test_every_route_is_found_and_names_its_model_there(method, named, paths):
    for path in paths:
        endpoint = find(method, path)
        assert endpoint is not None
        assert (endpoint.method, endpoint.path, endpoint.named) == (method, path, named)
    assert {e.path for e in ENDPOINTS if e.named == named and not e.path.startswith("/v/")} == set(
        paths
    )


def test_each_route_has_one_row():
    assert len({(e.method, e.path) for e in ENDPOINTS}) == len(ENDPOINTS)


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v/chat/completions", "/chat/completions"),
        ("/v/messages/count_tokens", "/messages/count_tokens"),
        ("/v/audio/transcriptions", "/audio/transcriptions"),
        ("/audioapi/v1/tasks/run", "/v1/tasks/run"),
        ("/rerank", "/rerank"),
    ],
)
def test_the_engine_sees_this_path(path, upstream):
    assert find("POST", path).upstream == upstream


def test_a_versionless_route_is_its_versioned_one_but_for_the_path():
    with_version, without = find("POST", "/v1/messages"), find("POST", "/v/messages")
    for what in ("dialect", "named", "streams", "metered", "method"):
        assert getattr(with_version, what) == getattr(without, what)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "openai"),
        ("/v1/responses", "responses"),
        ("/v1/messages", "anthropic"),
        ("/completion", "llamacpp"),
        ("/sdapi/v1/txt2img", "plain"),
    ],
)
def test_the_dialect_is_the_paths(path, dialect):
    assert find("POST", path).dialect.name == dialect


def test_what_streams_and_what_is_metered():
    streams = {e.path for e in ENDPOINTS if e.streams}
    metered = {e.path for e in ENDPOINTS if e.metered}
    assert {"/v1/chat/completions", "/v/messages", "/infill"} <= streams & metered
    assert {"/v1/audio/transcriptions", "/v1/images/edits"} <= streams & metered
    assert "/v1/embeddings" in metered - streams
    assert "/tokenize" not in metered | streams


def test_a_get_route_answers_head():
    assert find("HEAD", "/props") == find("GET", "/props")
    assert find("HEAD", "/v1/messages") is None


def test_allowed_methods():
    assert allowed("/v1/audio/voices") == ("GET", "HEAD", "POST")
    assert allowed("/v1/messages") == ("POST",)
    assert allowed("/nothing/here") == ()


@pytest.mark.parametrize(
    "path", ["/v1/messages/", "/V1/messages", "/v2/messages", "/v/rerank/x", "", "/"]
)
def test_only_exact_paths_are_routes(path):
    assert find("POST", path) is None

"""docs/from-llama-swap.md against corral itself: every key is one, every route is answered, and nothing of llama-swap's is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corral.config.schema import rows

PAGE = (Path(__file__).parents[2] / "docs" / "from-llama-swap.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (?:(GET|POST|PUT) )?`([^`]+)` \| (same|better|differs) \| (.*?) ?\|$", re.MULTILINE
)
PLACE = re.compile(r"(?<=\.)[A-Z](?=\.)")
TABLES = PAGE[PAGE.index("## Keys at the top") : PAGE.index("## What behaves otherwise")]

TIMEOUTS = "connect keepalive responseHeader tlsHandshake expectContinue idleConn"
FILTERS = "filters.stripParams filters.setParams filters.setParamsByID"

LLAMA_SWAPS_KEYS = {
    "": "healthCheckTimeout logLevel logTimeFormat logToStdout logRequests metricsMaxInMemory captureBuffer "
    "globalTTL unloadTimeout startPort sendLoadingState includeAliasesInList apiKeys macros models groups "
    "matrix routing profiles selectors peers",
    "store": "path",
    "ui.activity": "session_id",
    "performance": "disabled every",
    "hooks.on_startup": "preload",
    "upstream": "ignorePaths",
    "models.*": "cmd cmdStop proxy aliases env checkEndpoint ttl unloadTimeout concurrencyLimit unlisted "
    f"useModelName name description metadata sendLoadingState macros {FILTERS} compat.ignoreWebsockets",
    "models.*.timeouts": TIMEOUTS,
    "models.*.capabilities": "in out tools reranker context",
    "groups.*": "swap exclusive persistent members",
    "matrix": "vars evict_costs sets",
    "routing.router": "use settings.groups settings.matrix",
    "routing.scheduler": "use settings.fifo.priority",
    "peers.*": f"proxy models apiKey {FILTERS}",
    "peers.*.timeouts": TIMEOUTS,
    "profiles.*": "description pins",
    "selectors.*": "strategy targets settings.spillover name description unlisted metadata",
}
NAMED_IN_A_BODY = (
    "/v1/chat/completions /v1/responses /v1/completions /v1/messages /v1/messages/count_tokens "
    "/v1/embeddings /rerank /reranking /v1/rerank /v1/reranking /infill /completion /v1/audio/speech "
    "/v1/audio/voices /v1/images/generations /sdapi/v1/txt2img /sdapi/v1/img2img /audioapi/v1/tasks/run"
)
VERSIONLESS = "chat/completions responses completions messages messages/count_tokens embeddings rerank reranking"
LLAMA_SWAPS_ROUTES = {
    "POST": f"{NAMED_IN_A_BODY} /v1/audio/transcriptions /v1/images/edits /api/models/unload "
    "/api/models/unload/m /api/inflight/1/cancel",
    "GET": "/v1/audio/voices /sdapi/v1/loras /props /v1/models /models /health /wol-health / /ui/ "
    "/favicon.ico /metrics /unload /running /upstream /upstream/m/x /comfyui /comfyui/x /logs "
    "/logs/stream /logs/stream/proxy /logs/stream/upstream /logs/stream/m /api/profiles /api/events "
    "/api/metrics/activity /api/metrics/stats /api/captures/1 /api/performance /api/version "
    "/api/hardware",
    "PUT": "/api/profiles/active",
}


def llama_swaps_keys():
    return {
        f"{section}.{key}" if section else key
        for section, keys in LLAMA_SWAPS_KEYS.items()
        for key in keys.split()
    }


def llama_swaps_routes():
    return {
        (method, path) for method, paths in LLAMA_SWAPS_ROUTES.items() for path in paths.split()
    }


def told():
    """(method or empty, key or path, verdict, remark) of every row."""
    return [tuple(part or "" for part in found.groups()) for found in ROW.finditer(TABLES)]


def keys():
    return [PLACE.sub("*", key) for method, key, _, _ in told() if not method]


def routes():
    return [(method, path) for method, path, _, _ in told() if method]


def test_every_line_of_a_table_is_understood():
    lines = [line for line in TABLES.splitlines() if line.startswith("| ") and "`" in line]
    assert [line for line in lines if not ROW.fullmatch(line)] == []
    assert len(told()) == len(lines)


def test_nothing_stands_twice():
    assert sorted(set(keys())) == sorted(keys())
    assert sorted(set(routes())) == sorted(routes())


def test_what_differs_says_how():
    assert [name for _, name, verdict, remark in told() if verdict != "same" and not remark] == []


def test_every_key_of_llama_swap_is_on_the_page():
    assert set(keys()) == llama_swaps_keys()


def test_every_key_on_the_page_is_one_of_corrals_and_has_an_effect():
    known = {str(row) for row in rows()}
    assert set(keys()) - known == set()


def test_every_route_of_llama_swap_is_on_the_page():
    assert set(routes()) == llama_swaps_routes()
    assert "the versionless `/v/…` too" in PAGE


# --- answered ------------------------------------------------------------------------------------------------------

HOUSE = """
models:
  m: {cmd: x, proxy: "http://localhost:1"}
  comfyui_auto: {cmd: x, proxy: "http://localhost:1"}
groups: {all: {swap: false, members: [m, comfyui_auto]}}
profiles: {p: {pins: {n: m}}}
"""
UPLOAD = {"file": ("a.wav", b"RIFF", "audio/wav")}
FORMS = {"/v1/audio/transcriptions", "/v1/images/edits"}
BODIES = {"/api/profiles/active": {"name": "p"}}
NAMELESS = {"/api/models/unload", "/api/models/unload/m", "/api/inflight/1/cancel"}


def sent(method, path):
    """What a client of llama-swap sends."""
    if path in FORMS:
        return {"data": {"model": "m"}, "files": UPLOAD}
    if method == "GET":
        return {"params": {"model": "m"}}
    return {"json": BODIES.get(path, {"model": "m"})}


async def answered(site, method, path, **options):
    """The status, and the head of a body (which may have no end)."""
    async with site.http.stream(method, path, **options) as answer:
        head = b""
        if answer.headers.get("content-type", "").startswith("application/json"):
            head = await answer.aread()
        return answer.status_code, head.decode()


def there(status, text, path):
    return status != 405 and f"there is no {path} here" not in text


@pytest.mark.parametrize("method", LLAMA_SWAPS_ROUTES)
def test_every_route_on_the_page_is_answered(play, method):
    async def scene(site):
        for asked, path in routes():
            if asked == method:
                status, text = await answered(site, asked, path, **sent(asked, path))
                assert there(status, text, path), (asked, path, status, text)
                if method == "POST" and path not in NAMELESS:
                    assert status == 200, (path, text)

    play(HOUSE, scene)


def test_the_versionless_routes_are(play):
    async def scene(site):
        for path in VERSIONLESS.split():
            answer = await site.http.post(f"/v/{path}", json={"model": "m"})
            assert answer.status_code == 200
            assert answer.json()["target"] == f"/{path}", "without the /v"

    play(HOUSE, scene)


def test_an_unknown_path_would_be_noticed(play):
    async def scene(site):
        for method, path in (("GET", "/nobody"), ("POST", "/v1/nobody"), ("GET", "/infill")):
            status, text = await answered(site, method, path)
            assert not there(status, text, path)

    play(HOUSE, scene)


def test_a_form_where_json_is_usual(play):
    """A voice is uploaded to `/v1/audio/voices`; the model is a field of the form."""

    async def scene(site):
        answer = await site.http.post("/v1/audio/voices", data={"model": "m"}, files=UPLOAD)
        assert answer.status_code == 200
        assert answer.headers["x-corral-model"] == "m"

    play(HOUSE, scene)


def test_get_routes_answer_head(play):
    async def scene(site):
        for method, path in routes():
            if method == "GET":
                answer = await site.http.head(path, params={"model": "m"})
                assert answer.status_code != 405, path
                assert answer.content == b""

    play(HOUSE, scene)

"""Requests as programs are known to send them, header by header: what they send reaches the engine, what they look for is there."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

KEY = "sk-hunter2"
HOUSE = """
apiKeys: [sk-hunter2]
models:
  small: {cmd: x, proxy: "http://localhost:1", aliases: [gpt-4o-mini, claude-sonnet-4-5, whisper-1]}
"""
MESSAGES = [{"role": "user", "content": "turn on the light"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "HassTurnOn",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
]
BEARER = {"Authorization": f"Bearer {KEY}"}
SDK = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "AsyncOpenAI/Python 1.99.5",
    "X-Stainless-Lang": "python",
    "X-Stainless-Retry-Count": "0",
    "X-Stainless-Raw-Response": "true",
    **BEARER,
}
OPEN_WEBUI = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Content-Type": "application/json",
    "User-Agent": "Python/3.11 aiohttp/3.12.15",
    "X-OpenWebUI-User-Name": "Ada%20Lovelace",
    "X-OpenWebUI-User-Id": "2f1c",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "9ab0",
    **BEARER,
}
CLAUDE_CODE = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "claude-cli/2.0.14 (external, cli)",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-api-key": KEY,
    **BEARER,
}
POSTED = {
    "Open WebUI, a chat": (
        "/v1/chat/completions",
        OPEN_WEBUI,
        {
            "stream": True,
            "model": "small",
            "messages": MESSAGES,
            "stream_options": {"include_usage": True},
        },
    ),
    "Open WebUI, its documents": (
        "/v1/embeddings",
        OPEN_WEBUI,
        {"input": ["one", "two"], "model": "small", "encoding_format": "float"},
    ),
    "Open WebUI, reading aloud": (
        "/v1/audio/speech",
        OPEN_WEBUI,
        {"model": "small", "input": "hello", "voice": "af_heart"},
    ),
    "Home Assistant, with tools": (
        "/v1/chat/completions",
        SDK,
        {
            "model": "gpt-4o-mini",
            "messages": MESSAGES,
            "tools": TOOLS,
            "tool_choice": "auto",
            "stream": True,
            "max_completion_tokens": 3000,
            "user": "01JX",
        },
    ),
    "aider": (
        "/v1/chat/completions",
        {
            **SDK,
            "User-Agent": "OpenAI/Python 1.99.1",
            "HTTP-Referer": "https://aider.chat",
            "X-Title": "Aider",
        },
        {"model": "small", "messages": MESSAGES, "temperature": 0, "stream": True},
    ),
    "Claude Code": (
        "/v1/messages?beta=true",
        CLAUDE_CODE,
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 32000,
            "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            "messages": MESSAGES,
            "tools": [],
            "metadata": {"user_id": "user_1_account__session_2"},
            "stream": True,
        },
    ),
    "Claude Code, counting": (
        "/v1/messages/count_tokens?beta=true",
        CLAUDE_CODE,
        {"model": "claude-sonnet-4-5", "messages": MESSAGES, "tools": []},
    ),
    "llama.vim": (
        "/infill",
        {"Content-Type": "application/json", "User-Agent": "curl/8.5.0", **BEARER},
        {"model": "small", "input_prefix": "def f(", "input_suffix": "", "t_max_predict_ms": 1000},
    ),
    "curl -d": (
        "/v1/chat/completions",
        {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "curl/8.5.0", **BEARER},
        {"model": "small", "messages": MESSAGES},
    ),
    "a library that says nothing of JSON": (
        "/v1/completions",
        {"User-Agent": "okhttp/4.12.0", **BEARER},
        {"model": "small", "prompt": "once"},
    ),
}
CHANGED = {
    "authorization": None,  # it was for corral
    "x-api-key": None,
    "accept-encoding": "gzip, deflate",  # what corral can read for the tokens
}


@pytest.mark.parametrize("who", POSTED)
def test_what_is_posted_reaches_the_engine_as_it_is(play, who):
    path, headers, body = POSTED[who]
    text = json.dumps(body)

    async def scene(site):
        answer = await site.http.post(path, headers=headers, content=text)
        assert answer.status_code == 200, answer.text
        asked = answer.json()
        assert (asked["method"], asked["target"], asked["body"]) == ("POST", path, text)
        passed = {name.lower(): value for name, value in asked["headers"]}
        for name, value in headers.items():
            expected = CHANGED.get(name.lower(), value)
            assert passed.get(name.lower()) == expected, name

    play(HOUSE, scene)


def test_open_webui_has_something_said_written_down(play):
    async def scene(site):
        headers = {name: OPEN_WEBUI[name] for name in OPEN_WEBUI if name != "Content-Type"}
        sound = ("audio.wav", b"RIFF....WAVEfmt ", "audio/wav")
        answer = await site.http.post(
            "/v1/audio/transcriptions",
            headers=headers,
            data={"model": "whisper-1", "language": "en"},
            files={"file": sound},
        )
        assert answer.status_code == 200
        body = answer.json()["body"]
        assert 'filename="audio.wav"' in body
        assert "RIFF....WAVEfmt " in body
        assert "audio/wav" in body

    play(HOUSE, scene)


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_who_asks_for_the_models_finds_what_it_looks_for(play, path):
    async def scene(site):
        answer = await site.http.get(path, headers=OPEN_WEBUI)
        assert answer.status_code == 200
        assert answer.json()["object"] == "list"
        for one in answer.json()["data"]:
            assert {"id", "object", "created", "owned_by"} <= one.keys()

    play(HOUSE + "includeAliasesInList: true\n", scene)


def test_a_chat_page_of_another_origin(play):
    """A browser asks first, without a key, then reads the answer."""
    origin = {"Origin": "https://chat.example", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
    wish = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }

    async def scene(site):
        asked = await site.http.options("/v1/chat/completions", headers=origin | wish)
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] in ("*", origin["Origin"])
        assert "authorization" in asked.headers["access-control-allow-headers"]
        body = {"model": "small", "messages": MESSAGES}
        answer = await site.http.post("/v1/chat/completions", headers=origin | BEARER, json=body)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])

    play(HOUSE, scene)


def test_prometheus(play):
    scrape = {
        "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "Accept-Encoding": "gzip",
        "User-Agent": "Prometheus/3.5.0",
        "X-Prometheus-Scrape-Timeout-Seconds": "10",
    }

    async def scene(site):
        assert (await site.http.get("/metrics", headers=scrape)).status_code == 401
        await site.http.post("/v1/completions", headers=BEARER, json={"model": "small"})
        for key in (BEARER, {"Authorization": "Basic bWU6c2staHVudGVyMg=="}):
            answer = await site.http.get("/metrics", headers=scrape | key)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            found = {family.name for family in text_string_to_metric_families(answer.text)}
            assert any(name.startswith("corral_") for name in found)

    play(HOUSE, scene)


@pytest.mark.parametrize(
    ("who", "method", "path"),
    [
        ("kube-probe/1.33", "GET", "/health"),
        ("Uptime-Kuma/2.0.0", "HEAD", "/health"),
        ("Go-http-client/1.1", "GET", "/wol-health"),
        ("claude-cli/2.0.14 (external, cli)", "HEAD", "/"),
    ],
)
def test_who_only_wants_to_know_whether_it_is_there_needs_no_key(play, who, method, path):
    async def scene(site):
        answer = await site.http.request(method, path, headers={"User-Agent": who})
        assert answer.status_code in (200, 302)

    play(HOUSE, scene)


def test_a_browsers_event_source(play):
    asked = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "Last-Event-ID": "7"}

    async def scene(site):
        async with site.http.stream("GET", "/api/events", headers=asked | BEARER) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    assert json.loads(line.removeprefix("data:"))["type"] == "logData"
                    break

    play(HOUSE, scene)

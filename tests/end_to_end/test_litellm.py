"""litellm, by OpenAI's API and by Anthropic's, streamed and not, against the real engine; and what it makes of corral's errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
CLIENT = Path(__file__).with_name("litellm_client.py")
ENGINE = Path(__file__).with_name("scripted_engine.py")
NOBODY = "http://127.0.0.1:9"
HOUSE = f"""
apiKeys: [sk-right]
models:
  small: {{cmd: "llama-server -m models/small.gguf --port ${{PORT}} -c 2048", aliases: [gpt-4o]}}
  vectors: {{cmd: "llama-server -m models/embed.gguf --port ${{PORT}} --embedding -c 512"}}
  gone: {{cmd: "llama-server -m models/not-there.gguf --port ${{PORT}}"}}
  busy: {{cmd: "{sys.executable} -S {ENGINE} --port ${{PORT}} --do trickle", concurrencyLimit: 1}}
groups:
  side: {{swap: false, members: [small, vectors, gone, busy]}}
"""
APIS = ("openai", "anthropic")
HELLO = [{"role": "user", "content": "hello"}]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no litellm here: scripts/clients")


@pytest.fixture(scope="module")
def litellm(tmp_path_factory):
    """`litellm("completion", model=…, …)`: what it answers, or the error that it raises, as a dictionary.

    Its own home, and no way to the outside: nothing may be fetched, neither when it is imported nor when it is called.
    """
    closed = {f"{kind}_proxy": NOBODY for kind in ("http", "https", "all")}
    environment = {
        **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
        **closed,
        **{key.upper(): value for key, value in closed.items()},
        "no_proxy": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    }
    with subprocess.Popen(
        [PYTHON, "-W", "ignore", CLIENT],  # its warnings are its own
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def call(function, **options):
            process.stdin.write(json.dumps([function, options]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        assert json.loads(process.stdout.readline()) == {"answer": "ready"}
        yield call
        process.stdin.close()


@pytest.fixture
def asked(litellm, corral):
    """As `litellm`, of a corral that stands for the provider; `api` says whose API is spoken."""
    house = corral(HOUSE)
    where = {"openai": f"{house.url}/v1", "anthropic": house.url}

    def call(function, model, api="openai", **options):
        key = options.pop("api_key", "sk-right")
        named = f"{api}/{model}"
        return litellm(function, model=named, api_base=where[api], api_key=key, **options)

    call.house = house
    return call


@pytest.mark.parametrize("api", APIS)
def test_chat_at_once_and_streamed(asked, api):
    brief = {"messages": HELLO, "max_tokens": 5, "temperature": 0}
    answer = asked("completion", "small", api, **brief)["answer"]
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["message"]["role"] == "assistant"
    chunks = asked(
        "completion", "gpt-4o", api, stream=True, stream_options={"include_usage": True}, **brief
    )["answer"]
    assert any(one["choices"] and one["choices"][0]["delta"]["content"] for one in chunks)
    (usage,) = [one["usage"] for one in chunks if one.get("usage")]
    assert usage["completion_tokens"] == 5


def test_text_and_embeddings(asked):
    text = asked("text_completion", "small", prompt="once", max_tokens=3, temperature=0)["answer"]
    assert text["usage"]["completion_tokens"] == 3
    vectors = asked("embedding", "vectors", input=["a", "b"], encoding_format="float")["answer"]
    assert [len(one["embedding"]) for one in vectors["data"]] == [64, 64]


def test_errors_are_its_own(asked):
    expected = {
        ("smal", "sk-right"): ("NotFoundError", 404, "small"),
        ("small", "sk-wrong"): ("AuthenticationError", 401, "apiKeys"),
        ("gone", "sk-right"): ("ServiceUnavailableError", 503, "not-there.gguf"),
    }
    for api in APIS:
        for (model, key), (kind, status, says) in expected.items():
            said = asked("completion", model, api, messages=HELLO, max_tokens=5, api_key=key)
            assert (said["error"]["class"], said["error"]["status"]) == (kind, status)
            assert says in said["error"]["message"]


def test_a_limit_is_a_rate_limit(asked):
    http = asked.house.http
    http.headers["authorization"] = "Bearer sk-right"
    with http.stream(
        "POST", "/v1/chat/completions", json={"model": "busy", "stream": True}
    ) as stream:
        pieces = stream.iter_bytes()  # held: without it httpx hangs up
        assert next(pieces)
        for api in APIS:
            error = asked("completion", "busy", api, messages=HELLO, max_tokens=5)["error"]
            assert (error["class"], error["status"]) == ("RateLimitError", 429)

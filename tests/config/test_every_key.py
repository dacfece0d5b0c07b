"""A file with every key of llama-swap's format loads, and means what it says."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from corral.config.catalog import Catalog, Target
from corral.config.command import launch_spec
from corral.config.load import Source, load
from corral.config.schema import rows

FILE = Path(__file__).with_name("every_key.yaml")
ENV = {"CORRAL_KEY": "sk-ours", "CLOUD_KEY": "sk-theirs"}
FREE = (
    "metadata",
    "priority",
    "macros",
    "setParams",
    "setParamsByID",
    "pins",
    "presets",
    "vars",
    "evict_costs",
    "sets",
)
# What corral knows beside llama-swap; `timeouts.idle` is in the sections of two.
OWN = {
    *("format", "defaultModel", "maxBody", "shutdownTimeout"),
    *(f"models.*.{key}" for key in ("healthCheckTimeout", "startTimeout", "persist", "parallel")),
    *("models.*.restart", "models.*.restart.backoff", "models.*.timeouts.idle"),
    "peers.*.timeouts.idle",
    "peers.*.filters.strip_params",
    "routing.router.settings.groups.*.loadTogether",
    *(
        f"routing.scheduler.settings.{key}"
        for key in ("fair", "fifo.queueTimeout", "fifo.maxQueue")
    ),
}
# The same keys stand below `routing.router.settings`.
LEGACY = ("groups", "matrix")


@pytest.fixture(scope="module")
def config():
    return load([Source("every_key.yaml", FILE.read_text())], ENV)


def keys(value, path=()):
    if not isinstance(value, dict) or (path and path[-1] in FREE):
        return
    named = path in {
        (name,) for name in ("models", "peers", "routers", "selectors", "profiles")
    } or (path[-1:] == ("groups",))
    for key, item in value.items():
        below = (*path, "*" if named else key)
        if not named:
            yield ".".join(below)
        yield from keys(item, below)


def test_no_key_is_missing_from_the_file():
    written = set(keys(YAML(typ="safe", pure=True).load(FILE)))
    known = {str(row) for row in rows() if row.path[0] not in LEGACY}
    known = {key for key in known if not key.startswith("routing.scheduler.settings.fair.")}
    assert written | OWN == known
    assert not written & OWN


def test_nothing_of_it_is_passed_over(config):
    assert config.notes == (
        (
            "every_key.yaml:61 models.org/big:F16.filters.stripParams: `model` is protected: filters "
            "leave it as it is"
        ),
        "every_key.yaml:119 routing.router.settings.matrix: not used: the router is the other one",
        "every_key.yaml:176 models.ini is not at hand: its sections were not checked",
        "every_key.yaml:207 switching.settle: not used: settleMemory says when memory has settled",
    )


def test_the_top_level(config):
    assert config.log_level == "debug"
    assert config.log_time_format == "rfc3339nano"
    assert config.log_to_stdout == "both"
    assert config.metrics_max_in_memory == 500
    assert config.capture_buffer == 15 << 20
    assert config.store_path == "/var/lib/corral/activity.db"
    assert config.ui.activity.session_id == ("X-Session-ID", "X-Chat")
    assert (config.performance.disabled, config.performance.every) == (True, 90)
    assert config.api_keys == ("sk-ours", "second-key")
    assert config.preload == ("small", "org/big:F16")
    assert [pattern.pattern for pattern in config.upstream.ignore_paths] == [
        "^/static/",
        r"\.map$",
    ]
    assert config.ports == {"org/big:F16": 9100, "other": 9101, "small": 9102}


def test_a_model(config):
    big = config.models["org/big:F16"]
    assert big.aliases == ("big-alias", "gpt-4o", "org/big:F16:high")
    assert (big.ttl, big.unload_timeout, big.health_check_timeout) == (60, 5, 200)
    assert (big.concurrency_limit, big.unlisted, big.send_loading_state) == (4, True, False)
    assert (big.use_model_name, big.name) == ("big.gguf", "The big one")
    assert big.metadata == {"port": 9100, "notes": ["anything", {"at": "all"}]}
    assert big.filters.strip_params == ("temperature", "top_k")
    assert big.filters.set_params == {
        "temperature": 0.2,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert big.filters.set_params_by_id == {
        "org/big:F16:high": {"reasoning_effort": "high"},
        "gpt-4o": {"reasoning_effort": "low"},
    }
    times = big.timeouts
    assert (times.connect, times.keepalive, times.response_header) == (3, 4, 5)
    assert (times.tls_handshake, times.expect_continue, times.idle_conn) == (6, 7, 8)
    assert big.compat.ignore_websockets
    can = big.capabilities
    assert (can.inputs, can.outputs) == (("text", "image", "audio"), ("text",))
    assert (can.tools, can.reranker, can.context) == (True, True, 32768)
    spec = launch_spec(config, "org/big:F16")
    assert spec.argv == (
        *("llama-server", "--port", "${PORT}", "--alias", "org/big:F16"),
        *("-m", "models/a big one.gguf"),
    )


def test_a_model_that_says_little(config):
    small = config.models["small"]
    assert (small.ttl, small.unload_timeout, small.send_loading_state) == (600, 20, True)
    assert small.filters.strip_params == ("seed",)
    assert small.filters.legacy_strip_params == ()


def test_comfyuis_page_gets_what_it_needs(config):
    comfy = config.models["comfyui_auto"]
    assert (comfy.concurrency_limit, comfy.compat.ignore_websockets) == (50, True)


def test_peers_selectors_and_profiles(config):
    cloud = config.peers["cloud"]
    assert (cloud.proxy, cloud.api_key) == ("https://cloud.example/api", "sk-theirs")
    assert (cloud.timeouts.response_header, cloud.timeouts.idle) == (300, 3600)
    assert cloud.filters.set_params_by_id == {"glm": {"temperature": 1}}
    chat = config.selectors["chat"]
    assert (chat.strategy, chat.targets, chat.spillover) == (
        "spillover",
        ("small", "other", "cloud/glm"),
        3,
    )
    assert config.profiles["work"].pins == {
        "gpt-4o": "chat",
        "gpt-5": "org/big:F16:high",
        "claude": "org/kimi",
        "glm": "",
        "first": "",
    }
    catalog = Catalog(config)
    assert catalog.target("org/big:F16:high") == Target("org/big:F16", "", "org/big:F16:high")
    assert catalog.target("org/kimi") == Target("org/kimi", "cloud", "org/kimi")


def test_routers_and_the_models_that_are_theirs(config):
    house, garage = config.routers.values()
    assert (house.presets, house.models_dir, house.models_max) == ("models.ini", "models", 2)
    assert (house.start_timeout, house.unload_timeout) == (60, 15)
    assert garage.url == "http://garage:28000"
    assert config.router_ports == {"house": 9103}
    routed = launch_spec(config, "routed:q8")
    assert routed.argv == ()
    assert (routed.routed.router, routed.routed.model) == ("house", "there")
    assert routed.routed.launch.env == {"LLAMA_ARG_CTX_SIZE": "4096"}
    assert launch_spec(config, "garaged").routed.url == "http://garage:28000"


def test_conversations_and_switching(config):
    kept = config.sessions
    assert (kept.mode, kept.store, kept.ttl) == ("always", "/var/lib/corral/sessions.db", 86400)
    assert (kept.on_abort, kept.park_kv, kept.park_quota) == ("drop", "off", 2**30)
    assert (kept.max_messages, kept.max_prompt_chars, kept.max_prompt_tokens) == (200, 60000, 6000)
    assert (kept.budget_mode, kept.chars_per_token) == ("exact", 3.5)
    assert (kept.system_prompt, kept.system_policy) == ("Be brief.", "prepend")
    assert kept.presets == {"pirate": "Answer like a pirate, matey."}
    assert config.models["routed:q8"].preset == "pirate"
    assert (config.imports, config.keeps_responses) == (".hotmodel/state.json", True)
    switch = config.switching
    assert (switch.active, switch.drain_timeout, switch.settle_timeout) == ("org/big:F16", 60, 5)
    assert switch.settle_memory == 2000
    assert config.listen == "[::1]:8081"


def test_secrets_are_in_no_repr(config):
    shown = repr(config)
    assert "sk-ours" not in shown
    assert "sk-theirs" not in shown


def test_the_older_spelling_of_the_router(loaded):
    config = loaded(
        """\
        models: {a: {cmd: "x ${PORT}"}, b: {cmd: "x ${PORT}"}}
        matrix: {vars: {first: a}, evict_costs: {first: 5}, sets: {both: first & b}}
        """
    )
    assert config.matrix.evict_costs == {"a": 5}

"""Filters, timeouts and the other settings of a request's way, as they take effect."""

import pytest

from corral.config.relaying import Filters, Upstream

PEER = "peers: {p: {proxy: 'http://h', models: [m, n, m]"


def model(loaded, text, top=""):
    return loaded(f"{top}\nmodels: {{m: {{cmd: 'x ${{PORT}}', {text}}}}}").models["m"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("stripParams: 'b, a,, a ,'", ("a", "b")),
        ("strip_params: 'b,a'", ("a", "b")),
        ("stripParams: ' , ', strip_params: c", ("c",)),
        ("stripParams: a, strip_params: c", ("a",)),
        ("stripParams: 'model, a'", ("a",)),
        ("stripParams: [b, 'a, c']", ("a", "b", "c")),
        ("stripParams: 7", ("7",)),
        ("stripParams: ''", ()),
        ("stripParams: ", ()),
    ],
)
def test_names_to_strip(loaded, text, names):
    filters = model(loaded, f"filters: {{{text}}}").filters
    assert filters.strip_params == names
    assert filters.legacy_strip_params == ()


def test_python_makes_them_of_what_it_has():
    assert Filters(strip_params=("b", "a")).strip_params == ("a", "b")


def test_the_models_name_is_protected_and_that_is_noted(loaded):
    config = loaded(
        """\
        models:
          m:
            cmd: x ${PORT}
            filters:
              stripParams: a
              strip_params: model
              setParams: {model: x, a: 1.50}
              setParamsByID:
                n: {model: y, b: [1.50]}
                o:
        """
    )
    filters = config.models["m"].filters
    assert filters.set_params == {"a": 1.5}
    assert filters.set_params_by_id == {"n": {"b": [1.5]}, "o": {}}
    assert config.models["m"].aliases == ("n", "o")
    protected = "`model` is protected: filters leave it as it is"
    assert config.notes == (
        f"c.yaml:6 models.m.filters.strip_params: {protected}",
        "c.yaml:6 models.m.filters.strip_params: not used: `stripParams` stands beside it",
        f"c.yaml:7 models.m.filters.setParams.model: {protected}",
        f"c.yaml:9 models.m.filters.setParamsByID.n.model: {protected}",
    )


def test_a_name_with_parameters_may_be_the_models_own(loaded):
    text = "aliases: [z], filters: {setParamsByID: {m: {a: 1}, z: {a: 2}, w: {a: 3}}}"
    assert model(loaded, text).aliases == ("z", "w")


def test_names_with_parameters_are_names_everywhere(loaded):
    config = loaded(
        """\
        models: {m: {cmd: 'x ${PORT}', filters: {setParamsByID: {"${MODEL_ID}:hot": {a: 1}}}}}
        defaultModel: m:hot
        hooks: {on_startup: {preload: [m:hot]}}
        selectors: {s: {strategy: pin, targets: [m:hot]}}
        profiles: {w: {pins: {x: m:hot}}}
        """
    )
    assert (config.default_model, config.preload) == ("m:hot", ("m",))


def test_a_peers_filters_and_models(loaded):
    config = loaded(f"{PEER}, filters: {{setParamsByID: {{m: {{}}, p/n: {{}}, nn: {{}}}}}}}}}}")
    assert config.peers["p"].models == ("m", "n")
    twice, unknown = config.notes
    assert twice == "c.yaml:1 peers.p.models[2]: stands here twice"
    assert unknown.endswith("no model of this peer is called `nn`; did you mean `n`?")


def test_a_peers_server_gets_less_time_by_default(loaded):
    config = loaded(f"models: {{m: {{cmd: 'x ${{PORT}}'}}}}\n{PEER}, timeouts: {{connect: 2}}}}}}")
    ours, theirs = config.models["m"].timeouts, config.peers["p"].timeouts
    assert (ours.connect, ours.response_header) == (30, 0)
    assert (theirs.connect, theirs.response_header) == (2, 60)
    assert (ours.keepalive, ours.tls_handshake, ours.expect_continue) == (30, 10, 1)
    assert (ours.idle_conn, ours.idle) == (90, 3600)


@pytest.mark.parametrize(
    ("top", "own", "sends"),
    [
        ("", "", False),
        ("sendLoadingState: true", "", True),
        ("sendLoadingState: true", "sendLoadingState: false", False),
        ("sendLoadingState: true", "sendLoadingState: ", True),
        ("", "sendLoadingState: true", True),
    ],
)
def test_a_models_loading_state_goes_before_the_global_one(loaded, top, own, sends):
    assert model(loaded, own, top).send_loading_state is sends


@pytest.mark.parametrize(
    ("own", "limit"), [("", 0), ("concurrencyLimit: 3", 50), ("concurrencyLimit: 70", 70)]
)
def test_comfyui_has_a_rule_of_its_own(loaded, own, limit):
    comfy = loaded(f"models: {{comfyui_auto: {{cmd: 'x ${{PORT}}', {own}}}}}").models[
        "comfyui_auto"
    ]
    assert (comfy.concurrency_limit, comfy.compat.ignore_websockets) == (limit, True)


@pytest.mark.parametrize("text", ["", "upstream:", "upstream: {ignorePaths: []}"])
def test_without_patterns_the_default_ones_hold(loaded, text):
    (pattern,) = loaded(text).upstream.ignore_paths
    assert pattern.search("/ui/app.js")
    assert not pattern.search("/v1/models")
    assert Upstream().ignore_paths == (pattern,)


def test_modalities_are_said_once(loaded):
    row = model(loaded, "capabilities: {in: [text, image, text]}")
    assert row.capabilities.inputs == ("text", "image")

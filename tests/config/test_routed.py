"""`routers`, and the models that name one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from corral.config.changes import changes
from corral.config.command import launch_spec, launch_specs
from corral.config.router_command import router_address

SERVER = "llama-server --host 127.0.0.1 --port ${PORT}"
ONE = f"routers: {{r: {{cmd: '{SERVER}'}}}}\nmodels:\n  a: {{router: r}}\n"


def routed(config, model="a"):
    return launch_spec(config, model).routed


def test_a_model_at_a_router_that_corral_starts(loaded):
    config = loaded(
        """\
        startPort: 7000
        healthCheckTimeout: 50
        unloadTimeout: 7
        macros: {bin: llama-server}
        models:
          a: {router: r}
          b: {router: r, routerModel: there, useModelName: x}
          c: {cmd: "c --port ${PORT}"}
          d: {router: s, cmd: "d --port ${PORT}"}
        routers:
          r:
            cmd: |
              # the router
              ${bin} --host 0.0.0.0 --port ${PORT}
            presets: m.ini
            modelsDir: models
            env: [A=1, "LLAMA_ARG_X=${PORT}"]
          s: {cmd: "${bin} --host ${SOCKET}", modelsMax: 1, startTimeout: 3, unloadTimeout: 4}
        """
    )
    assert config.ports == {"c": 7000, "d": 7001}
    assert config.router_ports == {"r": 7002}
    a, b = launch_spec(config, "a"), launch_spec(config, "b")
    assert (a.argv, a.files) == ((), ())
    assert (a.routed.router, a.routed.model, a.routed.url) == ("r", "a", "")
    assert b.routed == replace(a.routed, model="there")
    launch = a.routed.launch
    assert launch.argv == (
        *("llama-server", "--host", "0.0.0.0", "--port", "${PORT}", "--models-preset", "m.ini"),
        *("--models-dir", "models", "--models-max", "2", "--no-models-autoload"),
    )
    assert launch.proxy == "http://127.0.0.1:${PORT}"
    assert launch.env == {"A": "1", "LLAMA_ARG_X": "${PORT}"}
    assert (launch.port, launch.check, launch.files) == (7002, "/health", ("m.ini",))
    assert (launch.start_timeout, launch.unload_timeout) == (50, 7)
    other = routed(config, "d").launch
    assert other.argv[-3:] == ("--models-max", "1", "--no-models-autoload")
    assert (other.proxy, other.port) == ("unix:${SOCKET}", None)
    assert (other.start_timeout, other.unload_timeout) == (3, 4)
    assert launch_spec(config, "d").argv == ("d", "--port", "${PORT}")
    rows = config.models
    assert (rows["a"].router_model, rows["a"].use_model_name) == ("a", "a")
    assert (rows["b"].router_model, rows["b"].use_model_name) == ("there", "x")
    assert (rows["c"].router_model, rows["c"].use_model_name) == ("", "")
    assert launch_spec(config, "c").routed is None


def test_a_router_that_runs_elsewhere(loaded):
    config = loaded('routers: {r: {url: "http://h:1/base"}}\nmodels: {a: {router: r}}\n')
    assert (routed(config).url, routed(config).launch) == ("http://h:1/base", None)


@pytest.mark.parametrize(
    ("more", "env", "added"),
    [
        ("", "", "--models-max 1 --no-models-autoload"),
        ("--models-autoload --models-max 9", "", ""),
        ("--no-models-autoload", "", "--models-max 1"),
        ("", "LLAMA_ARG_MODELS_MAX=3", "--no-models-autoload"),
        ("", "LLAMA_ARG_MODELS_AUTOLOAD=1", "--models-max 1"),
        ("", "LLAMA_ARG_NO_MODELS_AUTOLOAD=1", "--models-max 1"),
    ],
)
def test_what_the_command_says_already_is_not_said_again(loaded, more, env, added):
    row = f"{{cmd: '{SERVER} {more}', env: [{env}]}}"
    config = loaded(f"routers: {{r: {row}}}\nmodels: {{a: {{router: r}}}}\n")
    argv = " ".join(routed(config).launch.argv)
    assert argv == " ".join(f"{SERVER} {more} {added}".split())


@pytest.mark.parametrize(
    ("argv", "address"),
    [
        ("llama-server", ""),
        ("llama-server --port 1", "http://127.0.0.1:1"),
        ("llama-server --port 1 --port 2", "http://127.0.0.1:2"),
        ("llama-server --host :: --port 1", "http://[::1]:1"),
        ("llama-server --host fe80::1 --port 1", "http://[fe80::1]:1"),
        ("llama-server --host 10.0.0.1,x --port 1", "http://10.0.0.1:1"),
        ("llama-server --host /run/x.sock", "unix:/run/x.sock"),
        ("llama-server --host ${SOCKET}", "unix:${SOCKET}"),
        ("sh -c 'run ${PORT}'", "http://127.0.0.1:${PORT}"),
    ],
)
def test_where_a_command_answers(argv, address):
    assert router_address(argv.split()) == address


def test_a_model_may_have_filters_and_another_name(loaded):
    config = loaded(ONE + "    \n  b: {router: r, filters: {stripParams: x}, aliases: [c]}\n")
    assert config.models["b"].filters.strip_params == ("x",)
    assert config.models["b"].use_model_name == "b"


def test_a_router_that_is_launched_in_another_way_restarts_its_models(loaded):
    before = loaded(ONE)
    for text, restarted in (
        (ONE, ()),
        (ONE + "  b: {cmd: b, proxy: 'http://h'}\n", ()),  # and the router's port is another one
        (ONE.replace("--port", "-v --port"), ("a",)),
        (ONE + "  b: {router: r}\n", ("a",)),
        (ONE.replace("{router: r}", "{router: r, routerModel: b}"), ("a",)),
        (ONE.replace("{router: r}", "{router: r, ttl: 5}"), ()),
    ):
        after = loaded(text)
        found = changes(before, after, launch_specs(before), launch_specs(after))
        assert found.restarted == restarted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "routers: {r: {}}\n",
            "c.yaml:1:11 routers.r: says neither where it runs (`url`) nor how it is started (`cmd`)",
        ),
        (
            "routers: {r: {cmd: ''}}\n",
            "c.yaml:1:11 routers.r: says neither where it runs (`url`) nor how it is started (`cmd`)",
        ),
        (
            "routers: {r: {url: 'http://h', cmd: x}}\n",
            "c.yaml:1:15 routers.r.url: has a `url` and a `cmd`: it runs already, or corral starts it",
        ),
        (
            "routers: {r: {url: h}}\n",
            "c.yaml:1:15 routers.r.url: must be http://host:port/path, https://... or unix:/path, not `h`",
        ),
        (
            "routers: {r: {url: 'http://h', presets: x}}\n",
            "c.yaml:1:32 routers.r.presets: is for a router that corral starts: this one runs at its `url`",
        ),
        (
            "routers: {r: {url: 'http://h', modelsMax: 1}}\n",
            "c.yaml:1:32 routers.r.modelsMax: is for a router that corral starts: this one runs at its `url`",
        ),
        (
            "routers: {r: {cmd: llama-server}}\n",
            "c.yaml:1:15 routers.r.cmd: does not say where the router answers: add `--port ${PORT}`",
        ),
        (
            "routers: {r: {cmd: 'x --port a/b'}}\n",
            "c.yaml:1:15 routers.r.cmd: where the router answers must be http://host:port/path, https://... or unix:/path, not `http://127.0.0.1:a/b`",
        ),
        (
            "routers: {r: {cmd: ['x ${PORT}', \"\\0\"]}}\n",
            "c.yaml:1:15 routers.r.cmd: a command cannot hold a NUL character",
        ),
        (
            "routers: {r: {cmd: '${PORT}', env: [x]}}\n",
            "c.yaml:1:37 routers.r.env[0]: must be NAME=value, not `x`",
        ),
        (
            "routers: {r: {cmd: '--port 1', env: ['X=${PORT}']}}\n",
            "c.yaml:1:38 routers.r.env[0]: ${PORT} is only available when used in cmd",
        ),
        (
            "routers: {r: {cmd: '${PID} ${PORT}'}}\n",
            "c.yaml:1:15 routers.r.cmd: unknown macro '${PID}'; it is only available in a model's cmdStop",
        ),
        (
            "routers: {' ': {cmd: '${PORT}'}}\n",
            "c.yaml:1:11 routers. : a router's name cannot be empty",
        ),
        ("routers: {r: x}\n", "c.yaml:1:11 routers.r: must be a mapping, not `x`"),
        ("routers: [r]\n", "c.yaml:1:1 routers: must be a mapping, not a list"),
        ("models: {a: {router: r}}\n", "c.yaml:1:14 models.a.router: unknown router `r`"),
        (
            ONE + "  b: {router: s}\n",
            "c.yaml:4:7 models.b.router: unknown router `s`",
        ),
        (
            "models: {a: {cmd: 'x ${PORT}', routerModel: b}}\n",
            "c.yaml:1:32 models.a.routerModel: needs a `router` beside it",
        ),
        (
            ONE + "  b: {router: r, routerModel: a}\n",
            "c.yaml:4:18 models.b.routerModel: `a` of router `r` is model `a` already; an alias gives one model two names",
        ),
        (
            ONE.replace("r}", "r, routerModel: b}") + "  b: {router: r}\n",
            "c.yaml:4:7 models.b.router: `b` of router `r` is model `a` already; an alias gives one model two names",
        ),
        (
            "startPort: 65535\n" + ONE + "  b: {cmd: 'x ${PORT}'}\n",
            "c.yaml:1:1 startPort: leaves no room for 2 ports up to 65535",
        ),
    ],
)
def test_mistakes(mistakes, text, said):
    assert said in mistakes(text)
    assert len(mistakes(text)) == 1

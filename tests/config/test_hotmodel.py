"""hotmodel's TOML: what it means natively, and what is told of its mistakes."""

import textwrap
from pathlib import Path

import pytest

from corral.config.command import launch_specs
from corral.config.convert import convert
from corral.config.document import Source
from corral.config.load import further, load
from corral.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples"
INI = """\
version = 1
[*]
c = 4096
jinja = true
[small]
model = models/small.gguf
n-gpu-layers = 12
temp = 0.5
host = 1.2.3.4
load-on-startup = false
stop-timeout = 30
[big]
hf = org/big:Q4_K_M
LLAMA_ARG_CTX_SIZE = 1024
"""
ROUTER = """\
[server]
active_model = "small"
[router]
models_preset = "models.ini"
[models.small]
path = "models/small.gguf"
[models.big]
path = "/models/big.gguf"
"""
PROCESS = """\
[llama]
backend_mode = "process"
[models.a]
path = "a.gguf"
port = 8001
[models.b]
path = "/b.gguf"
port = 8002
"""


def source(text, name="dir/hot.toml"):
    return Source(name, textwrap.dedent(text))


def hot(text=ROUTER, ini=INI, name="dir/hot.toml", **options):
    sources = [source(text, name)]
    beside = {} if ini is None else {file: Source(file, ini) for file in further(sources, {})}
    return load(sources, {}, beside=beside, **options)


def wrong(text, ini=INI, **options):
    with pytest.raises(ConfigError) as caught:
        hot(text, ini, **options)
    return [str(problem) for problem in caught.value.problems]


# --- what a file is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[llama]\n[models.a]\npath = 'x'\n", "`[llama]`"),
        ("[router]\nport = 1\n[models.a]\npath = 'x'\n", "`[router]`"),
        ("[models.a]\npath = 'x.gguf'\n", "`models.a.path`"),
        ("format = 'hotmodel'\n[models.a]\npath = 'x'\n", "`format: hotmodel`"),
    ],
)
def test_it_is_recognised(text, reason):
    config = hot(text, name="h.toml")
    assert config.format == "hotmodel"
    assert config.notes == (
        f"h.toml: a hotmodel configuration, recognised by {reason}",
        "h.toml: the models are those of a llama-server in router mode, one at a time",
        "h.toml: every conversation is kept; requests that name no model go to the active one",
    )


def test_a_native_toml_is_none():
    assert load([Source("c.toml", "[models.a]\ncmd = 'x ${PORT}'\n")], {}).format == "native"


# --- what it means ---------------------------------------------------------------------------------------------------


def test_the_seeds_example():
    file, ini = EXAMPLES / "hotmodel.toml", EXAMPLES / "llama-models.ini"
    sources = [Source("hotmodel.toml", file.read_text())]
    assert further(sources, {}) == ("llama-models.ini",)
    beside = {"llama-models.ini": Source("llama-models.ini", ini.read_text())}
    config = load(sources, {}, beside=beside)
    assert len(config.notes) == 3, "nothing to complain of"
    assert config.listen == "127.0.0.1:18080"
    assert config.default_model == "active"
    assert config.imports == ".hotmodel/state.json"
    assert config.preload == ("qwen3-small",)
    assert {row.health_check_timeout for row in config.models.values()} == {600}
    assert [(g.swap, g.members) for g in config.groups.values()] == [
        (True, ("qwen3-small", "qwen3-big"))
    ]
    kept = config.sessions
    assert (kept.mode, kept.system_policy) == ("always", "replace")
    assert (kept.max_messages, kept.max_prompt_chars, kept.max_prompt_tokens) == (200, 60000, 6000)
    assert (kept.budget_mode, kept.chars_per_token) == ("auto", 4)
    assert kept.system_prompt == "You are a concise assistant."
    switch = config.switching
    assert (switch.active, switch.drain_timeout) == ("qwen3-small", 300)
    assert (switch.settle, switch.settle_memory, switch.settle_timeout) == ("off", None, 10)
    spec = launch_specs(config)["qwen3-small"]
    assert spec.unload_timeout == 20
    assert (spec.routed.router, spec.routed.model) == ("llama", "qwen3-small")
    router = spec.routed.launch
    assert router.argv[:5] == ("llama-server", "--host", "127.0.0.1", "--port", "${PORT}")
    assert router.argv[5:7] == ("--models-preset", "llama-models.ini")
    assert router.env == {
        "LLAMA_ARG_CTX_SIZE": "8192",
        "LLAMA_ARG_N_PARALLEL": "1",
        "LLAMA_ARG_CACHE_TYPE_K": "q8_0",
        "LLAMA_ARG_CACHE_TYPE_V": "q8_0",
        "LLAMA_ARG_KV_UNIFIED": "1",
        "LLAMA_ARG_CACHE_RAM": "1024",
        "LLAMA_ARG_UI": "0",
    }


def test_a_model_without_its_router():
    """The router's values are the weakest, the section is the strongest, whatever its options are called."""
    small, big = launch_specs(hot()).values()
    assert small.argv == (
        *("llama-server", "--model", "models/small.gguf"),
        *("--host", "127.0.0.1", "--port", "${PORT}"),
        *("--parallel", "1", "--cache-type-k", "q8_0", "--cache-type-v", "q8_0"),
        *("--ctx-size", "4096", "--jinja", "--n-gpu-layers", "12", "--temp", "0.5"),
    )
    assert (small.proxy, small.unload_timeout) == ("http://127.0.0.1:${PORT}", 30)
    assert big.argv[:3] == ("llama-server", "--hf-repo", "org/big:Q4_K_M")
    assert big.argv[-2:] == ("--ctx-size", "1024")
    assert big.unload_timeout == 10


def test_without_sections_it_is_the_file_of_the_toml():
    small, big = launch_specs(hot(ROUTER.replace("models_preset", "models_dir"))).values()
    assert small.argv[:3] == ("llama-server", "--model", "dir/models/small.gguf")
    assert big.argv[:3] == ("llama-server", "--model", "/models/big.gguf")
    assert "--models-dir dir/models.ini" in " ".join(small.routed.launch.argv)


EVERY_ROUTER_KEY = """\
[server]
host = "::1"
port = 9000
state_path = "/var/state.json"
active_model = ""
switch_policy = "zero_overlap"
switch_drain_timeout_seconds = 0.5
gpu_settle_timeout_seconds = -1
gpu_settle_memory_mb = 2000
[session]
token_budget_mode = "llama"
token_budget_chars_per_token = 3.5
[llama]
backend_mode = "router"
binary = "/opt/llama-server"
host = "localhost"
[router]
binary = "/opt/other"
host = "0.0.0.0"
port = 9100
models_dir = "many"
models_preset = "models.ini"
models_max = 2
models_autoload = true
ctx_size = 2048
parallel = 2
cache_type_k = "f16"
cache_type_v = "q4_0"
kv_unified = false
cache_ram_mb = -1
cache_idle_slots = false
flash_attn = "on"
no_ui = true
no_webui = false
extra_args = ["--models-max", "3", "--no-models-autoload", "--metrics", "-t", "4"]
[models.a]
path = "a.gguf"
router_id = "small"
[models.b]
path = "b.gguf"
router_id = "big"
[models.c]
path = "c.gguf"
"""


def test_every_key_in_router_mode():
    config = hot(EVERY_ROUTER_KEY)
    assert config.listen == "[::1]:9000"
    assert config.imports == "/var/state.json"
    assert (config.switching.active, config.preload) == (None, ())
    switch = config.switching
    assert (switch.drain_timeout, switch.settle_timeout, switch.settle_memory) == (0.5, 0, 2000)
    assert (config.sessions.budget_mode, config.sessions.chars_per_token) == ("exact", 3.5)
    (router,) = config.routers.values()
    assert router.cmd[:5] == ("/opt/other", "--host", "0.0.0.0", "--port", "${PORT}")
    assert (router.presets, router.models_dir) == ("dir/models.ini", "dir/many")
    assert min(config.ports.values()) == 9100
    env = dict(line.split("=", 1) for line in router.env)
    assert env["LLAMA_ARG_KV_UNIFIED"] == "0"
    assert env["LLAMA_ARG_CACHE_IDLE_SLOTS"] == "0"
    assert env["LLAMA_ARG_FLASH_ATTN"] == "on"
    assert env["LLAMA_ARG_UI"] == "1"
    assert env["LLAMA_ARG_MODELS_AUTOLOAD"] == "1"
    spec = launch_specs(config)["c"]
    assert spec.argv == (
        *("/opt/other", "--model", "dir/c.gguf", "--host", "0.0.0.0", "--port", "${PORT}"),
        *("--parallel", "2", "--cache-type-k", "f16", "--cache-type-v", "q4_0"),
        *("--flash-attn", "on", "--no-kv-unified", "--cache-ram", "-1", "--no-cache-idle-slots"),
        *("--ctx-size", "4096", "--jinja", "--metrics", "-t", "4"),
    )
    assert spec.proxy == "http://127.0.0.1:${PORT}"


@pytest.mark.parametrize(
    ("count", "most", "groups", "sets"),
    [
        (1, 3, ["(default)"], {}),
        (3, 1, ["(default)"], {}),
        (2, 2, ["together"], {}),
        (2, 9, ["together"], {}),
        (3, 2, [], {"any": "m1 | m2 | m3", "resident": "+any & +any"}),
    ],
)
def test_how_many_may_be_resident(count, most, groups, sets):
    models = "".join(f"[models.m-{n}]\npath = 'x'\n" for n in range(count))
    config = hot(f"[router]\nmodels_max = {most}\n{models}")
    assert list(config.groups) == groups
    named = config.matrix.sets if config.matrix else ()
    assert {one.name: one.text for one in named} == sets
    if groups[:1] == ["together"]:
        assert not config.groups["together"].swap


def test_process_mode():
    config = hot(PROCESS)
    assert config.routers == {}
    assert list(config.groups) == ["(default)"]
    a, b = launch_specs(config).values()
    assert a.argv == (
        *("llama-server", "-m", "dir/a.gguf", "--host", "127.0.0.1", "--port", "8001"),
        *("-c", "8192"),
    )
    assert (a.proxy, a.unload_timeout, a.start_timeout) == ("http://127.0.0.1:8001", 20, 120)
    assert b.argv[2] == "/b.gguf"
    assert "every model runs by a command of its own, one at a time" in config.notes[1]


def test_every_key_of_a_process():
    text = """\
    [llama]
    backend_mode = "process"
    binary = "/opt/llama-server"
    host = "0.0.0.0"
    [models.a]
    path = "a.gguf"
    port = 8001
    host = "::"
    binary = "mine"
    ctx_size = 512
    gpu_layers = 99
    threads = 4
    parallel = 2
    extra_args = ["--jinja", "--temp", "0.5"]
    [models.b]
    path = "b.gguf"
    port = 8002
    """
    a, b = launch_specs(hot(text)).values()
    assert a.argv == (
        *("mine", "-m", "dir/a.gguf", "--host", "::", "--port", "8001", "-c", "512"),
        *("-ngl", "99", "--threads", "4", "--parallel", "2", "--jinja", "--temp", "0.5"),
    )
    assert a.proxy == "http://[::1]:8001"
    assert b.argv[0] == "/opt/llama-server"
    assert b.proxy == "http://127.0.0.1:8002"


def test_paths_start_at_the_folder_of_the_file():
    for name, folder in (
        ("/etc/hot.toml", "/etc/"),
        ("hot.toml", ""),
        (r"C:\h\hot.toml", "C:\\h\\"),
    ):
        config = hot(name=name)
        assert config.imports == f"{folder}.hotmodel/state.json"
        assert config.routers["llama"].presets == f"{folder}models.ini"


def test_what_has_no_effect_is_told():
    text = ROUTER + 'port = 5\nctx_size = 3\nextra_args = ["x"]\n'
    assert hot(text, INI.replace("hf = ", "m = ")).notes[3:] == (
        "dir/hot.toml:9 models.big.port: not used in `router` mode: the INI's section says it",
        "dir/hot.toml:10 models.big.ctx_size: not used in `router` mode: the INI's section says it",
        "dir/hot.toml:11 models.big.extra_args: not used in `router` mode: the INI's section says it",
        (
            "dir/models.ini:13 [big].model: org/big:Q4_K_M is what counts, not the `path` of models.big: "
            "/models/big.gguf"
        ),
    )


def test_nor_has_a_router_where_there_are_processes():
    text = PROCESS + 'router_id = "b"\n[router]\nport = 3\nmodels_preset = "nowhere.ini"\n'
    assert further([source(text)], {}) == ()
    assert hot(text).notes[3:] == (
        "dir/hot.toml:9 models.b.router_id: not used in `process` mode",
        "dir/hot.toml:10 router: not used in `process` mode",
    )


def test_an_ini_that_nobody_looked_for():
    config = hot(ini=None)
    assert config.notes[3:] == (
        "dir/hot.toml:4 dir/models.ini is not at hand: its sections were not checked",
    )
    assert config.models["small"].cmd[:3] == ("llama-server", "--model", "dir/models/small.gguf")


def test_a_name_that_llama_server_changes_is_followed():
    text = "[router]\nmodels_preset = 'm.ini'\n[models.a]\npath = 'x'\nrouter_id = 'q:think'\n"
    config = hot(text, "[q:think]\nmodel = x\n", name="h.toml")
    assert config.models["a"].router_model == "q:THINK"
    assert config.notes[3:] == ("m.ini:1 [q:think]: llama-server calls this model `q:THINK`",)


# --- mistakes --------------------------------------------------------------------------------------------------------

A = "[models.a]\npath = 'x'\n"
MISTAKES = {
    "[llama]\n": "h.toml:1:1 models: at least one model is needed: `[models.NAME]`",
    "[llama]\n[models.a]\nport = 1\n": ("h.toml:2:1 models.a: `path` is missing: the model's file"),
    "[llama]\nbackend_mode = 'process'\n" + A: (
        "h.toml:3:1 models.a: `port` is missing: in `process` mode every model has one of its own"
    ),
    "[llama]\nbackend_mode = 'proces'\n" + A: (
        "h.toml:2:1 llama.backend_mode: unknown value `proces`; known: router, process; did you mean "
        "`process`?"
    ),
    "[llama]\nbinari = 'x'\n" + A: (
        "h.toml:2:1 llama.binari: unknown key `binari` at llama; did you mean `binary`?"
    ),
    "[lama]\n[llama]\n" + A: (
        "h.toml:1:1 lama: unknown key `lama` at the top level; did you mean `llama`?"
    ),
    A
    + "pth = 'y'\n": "h.toml:3:1 models.a.pth: unknown key `pth` at models.a; did you mean `path`?",
    "[server]\nport = 70000\n" + A: "h.toml:2:1 server.port: must be at most 65535",
    "[server]\nport = '1'\n" + A: "h.toml:2:1 server.port: must be a whole number, not `1`",
    "[server]\nactive_model = 'b'\n" + A: "h.toml:2:1 server.active_model: unknown model `b`",
    "[server]\nswitch_policy = 'overlap'\n" + A: (
        "h.toml:2:1 server.switch_policy: unknown value `overlap`; known: zero_overlap; did you mean "
        "`zero_overlap`?"
    ),
    "[server]\nswitch_drain_timeout_seconds = -1\n" + A: (
        "h.toml:2:1 server.switch_drain_timeout_seconds: must be at least 0"
    ),
    "[server]\ngpu_settle_timeout_seconds = true\n" + A: (
        "h.toml:2:1 server.gpu_settle_timeout_seconds: must be a number, not `true`"
    ),
    "[server]\ngpu_settle_memory_mb = 0\n" + A: (
        "h.toml:2:1 server.gpu_settle_memory_mb: must be at least 1"
    ),
    "[session]\nmax_session_messages = 0\n" + A: (
        "h.toml:2:1 session.max_session_messages: must be at least 1"
    ),
    "[session]\ntoken_budget_mode = 'exact'\n" + A: (
        "h.toml:2:1 session.token_budget_mode: unknown value `exact`; known: auto, llama, estimate"
    ),
    "[session]\ntoken_budget_chars_per_token = 0\n" + A: (
        "h.toml:2:1 session.token_budget_chars_per_token: must be more than 0"
    ),
    "[router]\nmodels_max = 0\n" + A: "h.toml:2:1 router.models_max: must be at least 1",
    "[router]\nctx_size = 0\n" + A: "h.toml:2:1 router.ctx_size: must be at least 1",
    "[router]\nmodels_autoload = 1\n" + A: (
        "h.toml:2:1 router.models_autoload: must be true or false, not `1`"
    ),
    "[router]\nextra_args = '--x'\n" + A: (
        "h.toml:2:1 router.extra_args: must be a list, not `--x`"
    ),
    "router = 3\n" + A: "h.toml:1:1 router: must be a mapping, not `3`",
    A + "[models]\nb = 3\n": "h.toml:4:1 models.b: must be a mapping, not `3`",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_each_mistake_is_one_line_with_its_place(text):
    assert wrong(text, name="h.toml") == [MISTAKES[text]]


def test_all_of_them_are_told_at_once():
    text = "[server]\nport = 'x'\n[router]\nparalel = 2\n[models.a]\nrouter_id = 3.5\n"
    assert wrong(text, name="h.toml") == [
        "h.toml:2:1 server.port: must be a whole number, not `x`",
        "h.toml:4:1 router.paralel: unknown key `paralel` at router; did you mean `parallel`?",
        "h.toml:5:1 models.a: `path` is missing: the model's file",
    ]


def test_an_id_that_no_section_has():
    text = ROUTER + "router_id = 'bigg'\n"
    assert wrong(text) == [
        "dir/hot.toml:9:1 models.big.router_id: `bigg` is no section of dir/models.ini; did you mean `big`?"
    ]


def test_a_name_that_no_section_has():
    text = ROUTER + "[models.third]\npath = 'x'\n"
    assert wrong(text) == ["dir/hot.toml:9:1 models.third: `third` is no section of dir/models.ini"]


def test_an_ini_that_cannot_be_read():
    beside = {"dir/models.ini": Source("dir/models.ini", "", unread="No such file or directory")}
    with pytest.raises(ConfigError) as caught:
        load([source(ROUTER)], {}, beside=beside)
    assert str(caught.value) == (
        "dir/hot.toml:4:1 router.models_preset: dir/models.ini cannot be read: No such file or directory"
    )


def test_what_is_wrong_in_the_ini_has_its_place_there():
    assert wrong(ROUTER, "c = 1\n" + INI)[0].startswith("dir/models.ini:1:1 c: llama-server makes")


def test_two_names_of_one_model():
    text = ROUTER + "[models.third]\npath = 'x'\nrouter_id = 'big'\n"
    (line,) = wrong(text)
    assert line.startswith("dir/hot.toml:11:1 models.third.router_id: `big` of router `llama` is")


def test_more_than_can_be_chosen_from():
    models = "".join(f"[models.m{n}]\npath = 'x'\n" for n in range(20))
    assert wrong(f"[router]\nmodels_max = 9\n{models}", name="h.toml") == [
        "h.toml:2:1 router.models_max: must be at most 8, or no less than the 20 models"
    ]


def test_lenient_reads_past_unknown_keys():
    config = hot("[llama]\nnope = 1\n" + A, name="h.toml", lenient=True)
    assert config.notes[-1] == "h.toml:2 llama.nope: unknown key `nope` at llama (ignored)"


# --- converted -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ROUTER, PROCESS, EVERY_ROUTER_KEY])
def test_the_native_file_means_the_same(text):
    here = source(text)
    beside = {file: Source(file, INI) for file in further([here], {})}
    native = convert(here, {}, beside)
    assert native.startswith("format: native\n")
    again, first = load([Source("c.yaml", native)], {}, beside=beside), hot(text)
    assert again.format == "native"
    assert again.model_copy(update={"format": "hotmodel", "notes": first.notes}) == first


def test_secrets_stay_in_the_environment():
    text = "[preset]\nsystem_prompt = 'I am ${env.WHO}.'\n" + A
    assert "${env.WHO}" in convert(source(text), {"WHO": "somebody"})


def test_what_is_wrong_is_not_converted():
    with pytest.raises(ConfigError, match="path"):
        convert(source("[llama]\n[models.a]\n"), {})

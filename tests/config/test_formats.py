"""The model-management guide's file, recognised, read and converted."""

import pytest

from corral.config.convert import convert
from corral.config.document import Source
from corral.errors import ConfigError

GUIDE = """\
# Mine.
modelTTL: 300 # five minutes

models:
  "big":
    cmd: "llama-server -m big.gguf --port {PORT}"
    ttl: 0
  small: # the little one
    cmd: |
      llama-server
      --port {PORT}
    cmdStop: [stop, "{PORT}"]
    proxy: http://127.0.0.1:{PORT}
    persist: true
  lone: {cmd: "x {PORT}", name: "{PORT}"}

groups:
  pipeline:
    swap: true
    members: [big, small]
"""


def test_the_guides_file_means_what_the_guide_says(loaded):
    config = loaded(GUIDE)
    assert config.format == "guide"
    assert [row.ttl for row in config.models.values()] == [0, 300, 300]
    assert config.models["small"].cmd == "llama-server\n--port ${PORT}\n"
    assert config.models["small"].cmd_stop == ("stop", "${PORT}")
    assert config.models["small"].proxy == "http://127.0.0.1:${PORT}"
    assert config.models["lone"].name == "{PORT}"
    group, rest = config.groups.values()
    assert (group.swap, group.exclusive, group.load_together) == (False, True, True)
    assert (rest.swap, rest.exclusive, rest.members) == (True, True, ("lone",))


def test_people_are_told_what_was_made_of_it(loaded):
    assert loaded(GUIDE).notes == (
        "c.yaml: the model-management guide's format, recognised by `{PORT}` without a dollar",
        "c.yaml: {PORT} is read as ${PORT} in 5 values",
        "c.yaml: modelTTL is globalTTL: 300 s",
        "c.yaml: group pipeline: its members load together and run side by side; everything else stops",
    )


@pytest.mark.parametrize(
    ("group", "flags"),
    [
        ("{members: [m]}", (False, True, True)),
        ("{swap: true, members: [m]}", (False, True, True)),
        ("{swap: false, members: [m]}", (False, False, True)),
        ("{swap: false, exclusive: true, loadTogether: false, members: [m]}", (False, True, False)),
    ],
)
def test_its_groups(loaded, group, flags):
    config = loaded(f"models: {{m: {{cmd: 'x {{PORT}}'}}}}\ngroups: {{g: {group}}}")
    found = config.groups["g"]
    assert (found.swap, found.exclusive, found.load_together) == flags


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("modelTTL: 3", "guide"),
        ("models: {m: {cmd: 'x {PORT}'}}", "guide"),
        ("models: {m: {cmd: [x, '{PORT}']}}", "guide"),
        ("models: {m: {cmd: 'x ${PORT}', persist: true}}", "native"),
        ("format: guide\nmodels: {m: {cmd: 'x ${PORT} {PORT}'}}", "guide"),
        ("format: native\nmodels: {m: {cmd: 'x ${PORT} {PORT}'}}", "native"),
        ("modelTTL: 3\nmodels: {m: {cmd: 'x ${PORT}'}}", "guide"),
        ("models: {m: {cmd: 'x ${PORT}', description: '{PORT}'}}", "native"),
    ],
)
def test_it_is_recognised_by_what_nobody_else_knows(loaded, text, kind):
    assert loaded(text).format == kind


def test_the_marks_of_two_formats_are_a_mistake(mistakes):
    assert mistakes("models:\n  a: {cmd: 'x {PORT}'}\n  b: {cmd: 'x ${PORT}'}\n") == [
        (
            "c.yaml:3:7 models.b.cmd: both `{PORT}` and `${PORT}` are used in this file: write "
            "`format: native` at its top if `{PORT}` is meant literally, `format: guide` if both are the port"
        )
    ]


def test_natively_its_keys_are_unknown(mistakes):
    (line,) = mistakes("format: native\nmodelTTL: 3\n")
    assert line.endswith("unknown key `modelTTL` at the top level; did you mean `globalTTL`?")


def test_two_names_for_one_thing_are_a_mistake(mistakes):
    (line,) = mistakes("modelTTL: 3\nglobalTTL: 3\n")
    assert line.startswith("c.yaml:1:1 modelTTL: unknown key")


def test_mistakes_in_it_are_told_where_they_were_written(mistakes):
    assert mistakes("models: 3\nmodelTTL: x\ngroups: {g: {swap: 3}, h: 3}") == [
        "c.yaml:1:1 models: must be a mapping, not `3`",
        "c.yaml:2:1 globalTTL: must be a whole number, not `x`",
        "c.yaml:3:14 groups.g.swap: must be true or false, not `3`",
        "c.yaml:3:24 groups.h: must be a mapping, not `3`",
    ]


def test_conversion_keeps_comments_and_meaning(loaded):
    text = convert(Source("c.yaml", GUIDE), {})
    assert text == (
        GUIDE.replace("modelTTL", "globalTTL")
        .replace("{PORT}", "${PORT}")
        .replace('name: "${PORT}"', 'name: "{PORT}"')
        .replace(
            "swap: true\n    members: [big, small]\n",
            "swap: false\n    members: [big, small]\n    exclusive: true\n    loadTogether: true\n",
        )
    )
    native, guide = loaded(text), loaded(GUIDE)
    assert native.format == "native"
    assert native.model_copy(update={"format": "guide", "notes": guide.notes}) == guide


def test_conversion_says_that_the_file_is_native_now(loaded):
    text = convert(Source("c.yaml", "format: guide\nmodels: {m: {cmd: 'x {PORT} ${PORT}'}}\n"), {})
    assert text == "format: native\nmodels: {m: {cmd: 'x ${PORT} ${PORT}'}}\n"


def test_a_native_file_is_left_as_it_is():
    text = "models: {m: {cmd: 'x ${PORT}'}} # mine\n"
    assert convert(Source("c.yaml", text), {}) == text


def test_toml_becomes_yaml(loaded):
    text = convert(Source("c.toml", 'modelTTL = 3\n[models.m]\ncmd = "x {PORT}"\n'), {})
    assert loaded(text).models["m"].ttl == 3


def test_secrets_stay_in_the_environment():
    text = 'modelTTL: 3\napiKeys: ["${env.KEY}"]\n'
    assert "${env.KEY}" in convert(Source("c.yaml", text), {"KEY": "secret"})


def test_what_is_no_yaml_before_replacement_cannot_be_converted():
    text = "modelTTL: 3\napiKeys: [${env.KEY}]\n"
    with pytest.raises(ConfigError, match="put quotes around it"):
        convert(Source("c.yaml", text), {"KEY": "secret"})


def test_what_is_wrong_is_not_converted():
    with pytest.raises(ConfigError, match="unknown key"):
        convert(Source("c.yaml", "modelTTL: 3\nnope: 3\n"), {})


WIDE = """\
sendLoadingState: true
peers: {p: {proxy: "http://h", models: [far], apiKey: "${env.KEY}"}}
selectors: {s: {strategy: pin, targets: [far]}}
profiles: {w: {pins: {gpt: s}}}
models: {m: {cmd: "x {PORT}", filters: {setParamsByID: {"m:hot": {a: 1}}}}}
"""


def test_it_may_use_what_the_native_format_has(loaded):
    config = loaded(WIDE, env={"KEY": "k"})
    assert config.format == "guide"
    assert config.models["m"].aliases == ("m:hot",)
    text = convert(Source("c.yaml", WIDE), {"KEY": "k"})
    assert text == WIDE.replace("{PORT}", "${PORT}")


def test_toml_has_the_same_keys(loaded):
    config = loaded(
        """\
        logTimeFormat = "rfc3339"
        apiKeys = ["${env.KEY}"]
        performance.every = "1m"
        [ui.activity]
        session_id = ["X-Chat"]
        [upstream]
        ignorePaths = ['\\.js$']
        [models.m]
        cmd = "x ${PORT}"
        [models.m.filters]
        stripParams = "b, a"
        [models.m.filters.setParamsByID."${MODEL_ID}:hot"]
        temperature = 1.0
        [peers.p]
        proxy = "https://h"
        models = ["far"]
        [selectors.s]
        strategy = "spillover"
        targets = ["m", "far"]
        settings.spillover = 2
        [profiles.w.pins]
        gpt = "s"
        off = ""
        """,
        name="c.toml",
        env={"KEY": "k"},
    )
    assert config.performance.every == 60
    assert config.models["m"].filters.set_params_by_id == {"m:hot": {"temperature": 1.0}}
    assert config.selectors["s"].spillover == 2
    assert config.profiles["w"].pins == {"gpt": "s", "off": ""}


def test_a_mistake_in_toml_has_its_place(mistakes):
    text = """\
    [models.m]
    cmd = "x ${PORT}"
    [selectors.s]
    targets = ["m", "nn"]
    [peers.p]
    proxy = "https://h"
    """
    assert mistakes(text, name="c.toml") == [
        "c.toml:3:1 selectors.s.strategy: strategy is required: warm, pin or spillover",
        "c.toml:4:1 selectors.s.targets[1]: references unknown model `nn`",
        "c.toml:5:1 peers.p.models: peer models can not be empty",
    ]

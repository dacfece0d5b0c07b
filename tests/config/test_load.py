"""From texts to a configuration, or to everything that is wrong with them."""

import pytest

from corral.config.load import load
from corral.errors import ConfigError

MODEL = "models: {m: {cmd: 'x ${PORT}'}}\n"


def test_nothing_is_a_configuration(loaded):
    assert loaded("").models == {}


def test_no_source_is_none():
    with pytest.raises(ConfigError, match="no configuration sources found"):
        load([], {})


def test_ten_mistakes_show_ten_lines(mistakes):
    text = """\
    healtCheckTimeout: 3
    logLevel: loud
    startPort: many
    macros: {PORT: 1}
    models:
      a: {cmd: "x ${nope}", ttl: 5m}
      b: {cmd: x}
      c: {cmd: "", proxy: "http://h:1"}
    groups: {g: {members: [z]}}
    hooks: {on_startup: {preload: [aa]}}
    """
    assert mistakes(text) == [
        (
            "c.yaml:1:1 healtCheckTimeout: unknown key `healtCheckTimeout` at the top level; "
            "did you mean `healthCheckTimeout`?"
        ),
        "c.yaml:2:1 logLevel: unknown value `loud`; known: debug, info, warn, error",
        "c.yaml:3:1 startPort: must be a whole number, not `many`",
        "c.yaml:4:10 macros.PORT: macro name 'PORT' is reserved",
        "c.yaml:6:7 models.a.cmd: unknown macro '${nope}' found in a.cmd",
        "c.yaml:6:25 models.a.ttl: must be a whole number, not `5m`",
        (
            "c.yaml:7:3 models.b: model b: proxy uses ${PORT} but cmd does not - ${PORT} is only "
            "available when used in cmd; a server on a fixed port needs `proxy`"
        ),
        "c.yaml:8:7 models.c.cmd: empty command: `cmd` says how the model's server is started",
        'c.yaml:9:24 groups.g.members[0]: no model config for "z"',
        "c.yaml:10:32 hooks.on_startup.preload[0]: unknown model `aa`; did you mean `a`?",
    ]


def test_lenient_makes_notes_of_unknown_keys(loaded):
    config = loaded(MODEL + "healtCheckTimeout: 3\n", lenient=True)
    assert config.notes == (
        (
            "c.yaml:2 healtCheckTimeout: unknown key `healtCheckTimeout` at the top level; "
            "did you mean `healthCheckTimeout`? (ignored)"
        ),
    )


@pytest.mark.parametrize("key", ["x-mine", ".hidden"])
def test_sections_of_nobody_are_not_looked_at(loaded, key):
    assert list(loaded(MODEL + f"{key}: {{a: '${{nope}}'}}\n").models) == ["m"]


def test_a_section_that_holds_anchors_is_not_looked_at(loaded):
    text = """\
    defs:
      base: &base {cmd: "x ${PORT} ${MODEL_ID}"}
    models:
      m: {<<: *base}
    """
    assert loaded(text).models["m"].cmd == "x ${PORT} m"


def test_unless_it_is_nearly_a_key(mistakes):
    text = "model: &a {b: {cmd: 'x ${PORT}'}}\nmodels: {<<: *a}\n"
    (line,) = mistakes(text)
    assert line.startswith("c.yaml:1:1 model: unknown key `model` at the top level; did you mean")


def test_a_section_whose_anchors_nobody_uses_is_a_mistake(mistakes):
    (line,) = mistakes("defs: &a {b: c}\n" + MODEL)
    assert line == "c.yaml:1:1 defs: unknown key `defs` at the top level"


def test_models_that_are_no_mapping_are_one_problem(mistakes):
    assert mistakes("models: [a]\ndefaultModel: a\n") == [
        "c.yaml:1:1 models: must be a mapping, not a list"
    ]


def test_a_model_that_is_no_mapping_still_has_a_name(mistakes):
    assert mistakes("models: {a: hello}\ndefaultModel: a\n") == [
        "c.yaml:1:10 models.a: must be a mapping, not `hello`"
    ]


def test_order_is_kept(loaded):
    config = loaded("models: {z: {cmd: 'x ${PORT}'}, a: {cmd: 'x ${PORT}'}}\nstartPort: 100\n")
    assert list(config.models) == ["z", "a"]
    assert config.ports == {"a": 100, "z": 101}


SLIGHT = """
host: 0.0.0.0
logLevel: chatty
logTimeFormat: iso
models:
  a: {cmd: "x --port ${PORT}", aliases: [b], keepWarm: true}
hooks: {on_startup: {preload: [a, gone]}}
groups: {g: {members: [a, b]}}
"""


def test_lenient_tells_what_llama_swap_reads_past_and_goes_on(loaded):
    config = loaded(SLIGHT, lenient=True)
    assert (config.log_level, config.log_time_format) == ("info", "")
    assert config.preload == ("a",)
    assert config.groups["g"].members == ("a",)
    assert [note.partition(" ")[2] for note in config.notes] == [
        "host: unknown key `host` at the top level; did you mean `hooks`? (ignored)",
        "logLevel: unknown value `chatty`; known: debug, info, warn, error (ignored)",
        next(note.partition(" ")[2] for note in config.notes if "logTimeFormat" in note),
        "models.a.keepWarm: unknown key `keepWarm` at models.a (ignored)",
        "hooks.on_startup.preload[1]: unknown model `gone` (ignored)",
        "groups.g.members[1]: `b` is an alias; name the model itself: `a` (ignored)",
    ]


def test_without_it_all_of_that_is_refused(mistakes):
    assert len(mistakes(SLIGHT)) == 6

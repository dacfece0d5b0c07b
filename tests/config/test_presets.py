"""llama-server's preset INI, read as llama-server reads it; and against the models that it should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.document import Source
from corral.config.formats.preset_ini import read_presets, section_name
from corral.config.load import further, load
from corral.errors import ConfigError

INI = """\
version = 1

[*]
c = 8192 ; for all
jinja = true

# the little one
[small]
model = small.gguf
alias = tiny, little
load-on-startup = false
stop-timeout = 20

[org/big:Q4_K_M]
LLAMA_ARG_CTX_SIZE=4096
"""
NATIVE = """\
models:
  one: {router: r, routerModel: small}
  small: {cmd: "x ${PORT}"}
routers:
  r: {cmd: "llama-server --port ${PORT}", presets: p.ini%s}
"""


def presets(text):
    return read_presets(Source("p.ini", text))


def native(ini, more="", **options):
    text = NATIVE % more
    beside = {} if ini is None else {"p.ini": Source("p.ini", ini)}
    return load([Source("c.yaml", text)], {}, beside=beside, **options)


def wrong(ini, more=""):
    with pytest.raises(ConfigError) as caught:
        native(ini, more)
    return [str(problem) for problem in caught.value.problems]


# --- the text --------------------------------------------------------------------------------------------------------


def test_a_file():
    found = presets(INI)
    assert (found.problems, found.notes) == ([], [])
    assert found.common.plain() == {"c": "8192", "jinja": "true"}
    assert [section.name for section in found.models()] == ["small", "org/big:Q4_K_M"]
    small = found.found("small")
    assert small.plain() == {"model": "small.gguf", "alias": "tiny, little"}
    assert (small.line, small.says("stop-timeout").line) == (8, 12)
    assert found.found("org/big:Q4_K_M").says("ctx-size").text == "4096"


@pytest.mark.parametrize("name", ["tiny", "little"])
def test_an_alias_is_a_name_too(name):
    assert presets(INI).found(name).name == "small"


@pytest.mark.parametrize("name", ["*", "nobody"])
def test_what_is_no_model(name):
    assert presets(INI).found(name) is None


def test_without_a_common_section():
    assert presets("[a]\nmodel = x\n").common.plain() == {}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("qwen:think", "qwen:THINK"),
        ("repo/x:UD-Q4_k_xl", "repo/x:Q4_K_XL"),
        ("repo/x:Q8_0", "repo/x:Q8_0"),
        ("plain.name-1", "plain.name-1"),
        ("a:b:c", "a:b:C"),
    ],
)
def test_what_llama_server_makes_of_a_name(written, name):
    assert section_name(written) == name


def test_a_name_that_becomes_another_is_told():
    found = presets("[qwen:think]\nmodel = x\n")
    assert found.notes == [(1, "[qwen:think]: llama-server calls this model `qwen:THINK`")]
    assert found.found("qwen:THINK").written == "qwen:think"


@pytest.mark.parametrize(
    ("line", "value", "cut"),
    [
        ("samplers = a;b", "a", ";"),
        ('chat-template-kwargs = {"color": "#fff"}', '{"color": "', "#"),
        ('note = "a ; b"', '"a', ";"),
    ],
)
def test_a_value_that_is_cut_is_told(line, value, cut):
    found = presets(f"[m]\n{line}\n")
    key = line.split(" ")[0]
    assert found.sections["m"].values[key].text == value
    text = f"[m].{key}: is `{value}`: llama-server takes `{cut}` and the rest for a comment"
    assert found.notes == [(2, text)]


@pytest.mark.parametrize("line", ["c = 1 ; one", "c = 1 # one", "; c = 2", "# c = 2", "c = 1\t#x"])
def test_comments_are_fine(line):
    assert presets(f"[m]\n{line}\n").notes == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "c = 1\n[a]\nmodel = x\n",
            (
                "p.ini:1:1 c: llama-server makes a model called `default` of what stands before the first "
                "section: put it under `[*]`"
            ),
        ),
        ("[a]\nhello\n", "p.ini:2:1 neither `[section]` nor `key = value`: `hello`"),
        ("[a\nmodel = x\n", "p.ini:1:1 neither `[section]` nor `key = value`: `[a`"),
        ("[]\nmodel = x\n", "p.ini:1:1 []: a section without a name"),
        ("[a]\nm = x\n[a]\nm = y\n", "p.ini:3:1 [a]: stands in line 1 already"),
    ],
)
def test_a_text_that_means_nothing_good(text, line):
    assert str(presets(text).problems[0]) == line


@given(st.text())
def test_any_text_can_be_read(text):
    found = presets(text)
    for problem in found.problems:
        assert problem.line >= 1
    for section in found.models():
        assert section.name


# --- against the models ----------------------------------------------------------------------------------------------


def test_a_model_that_the_file_has():
    config = native(INI)
    assert config.notes == ()
    assert list(config.preset_marks) == ["r"]


def test_another_text_has_another_mark():
    assert native(INI).preset_marks == native(INI).preset_marks
    assert native(INI).preset_marks != native(INI + "# more\n").preset_marks


def test_a_model_that_it_has_not():
    assert wrong("[smal]\nmodel = x\n") == [
        "c.yaml:2:20 models.one.routerModel: `small` is no section of p.ini; did you mean `smal`?"
    ]


def test_a_model_by_its_own_name_that_it_has_not():
    text = "models: {m: {router: r}}\nrouters: {r: {cmd: 'x ${PORT}', presets: p.ini}}"
    with pytest.raises(ConfigError) as caught:
        load([Source("c.yaml", text)], {}, beside={"p.ini": Source("p.ini", "")})
    assert str(caught.value) == "c.yaml:1:10 models.m: `m` is no section of p.ini"


def test_a_folder_of_models_may_have_it():
    assert native("[other]\nc = 1\n", ", modelsDir: d").notes == ()


def test_llama_servers_cache_may_have_it():
    text = "models: {m: {router: r, routerModel: org/x:Q8_0}}\nrouters: {r: {cmd: 'x ${PORT}', presets: p.ini}}"
    config = load([Source("c.yaml", text)], {}, beside={"p.ini": Source("p.ini", "")})
    assert config.notes == (
        "c.yaml:1 `org/x:Q8_0` is no section of p.ini: it must be in llama-server's cache",
    )


def test_a_section_without_a_model():
    assert wrong("[small]\nc = 1\n") == [
        (
            "p.ini:1:1 [small]: names no model: llama-server would start one more router for it, which is "
            "never ready; add `model = FILE`"
        )
    ]


@pytest.mark.parametrize(
    "key", ["model", "m", "LLAMA_ARG_MODEL", "hf", "hf-repo", "model-url", "docker-repo"]
)
def test_every_way_to_name_one(key):
    assert native(f"[small]\n{key} = x\n").notes == ()


def test_a_model_that_is_common_to_all():
    assert native("[*]\nmodel = x\n[small]\nc = 1\n").notes == ()


def test_a_stop_timeout_is_a_number():
    assert wrong("[small]\nm = x\nstop-timeout = soon\n") == [
        "p.ini:3:1 [small].stop-timeout: must be a whole number of seconds, not `soon`"
    ]


def test_who_loads_by_itself_is_told():
    assert native("[small]\nm = x\nload-on-startup = true\n").notes == (
        "p.ini:3 [small].load-on-startup: llama-server loads it when it starts, wanted or not",
    )


def test_all_mistakes_of_both_files_are_told_at_once():
    assert wrong("c = 1\n[other]\n") == [
        "c.yaml:2:20 models.one.routerModel: `small` is no section of p.ini",
        (
            "p.ini:1:1 c: llama-server makes a model called `default` of what stands before the first "
            "section: put it under `[*]`"
        ),
        (
            "p.ini:2:1 [other]: names no model: llama-server would start one more router for it, which is "
            "never ready; add `model = FILE`"
        ),
    ]


def test_a_file_that_nobody_looked_for_is_not_checked():
    config = native(None)
    assert config.notes == ("c.yaml:5 p.ini is not at hand: its sections were not checked",)
    assert config.preset_marks == {}


def test_a_file_that_cannot_be_read_is_a_mistake():
    beside = {"p.ini": Source("p.ini", "", unread="No such file or directory")}
    with pytest.raises(ConfigError) as caught:
        load([Source("c.yaml", NATIVE % "")], {}, beside=beside)
    assert str(caught.value) == (
        "c.yaml:5:43 routers.r.presets: p.ini cannot be read: No such file or directory"
    )


# --- which further files there are -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "files"),
    [
        ([NATIVE % ""], ("p.ini",)),
        (["models: {}"], ()),
        (["routers: {a: {presets: x}, b: {presets: ' x '}, c: {url: 'http://h'}, d: 3}"], ("x",)),
        (["macros: {dir: /etc}\nrouters: {a: {presets: '${dir}/x.ini'}}"], ("/etc/x.ini",)),
        (["macros: {dir: /etc}", "routers: {a: {presets: '${dir}/x.ini'}}"], ("/etc/x.ini",)),
        (["routers: 3"], ()),
        (["routers: {a: {presets: [x]}}"], ()),
        (["routers: ["], ()),
        ([], ()),
        (["models: {a: {cmd: '{PORT} ${PORT}'}}\nrouters: {a: {presets: x}}"], ("x",)),
    ],
)
def test_the_files_that_a_configuration_names(texts, files):
    assert further([Source(f"c{n}.yaml", text) for n, text in enumerate(texts)], {}) == files

"""`${name}` in values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.document import Document, Problems
from corral.config.macros import LONGEST, as_go_prints, expand


def model(loaded, text, **options):
    return loaded(text, **options).models["m"]


def test_a_macro_may_use_those_above_it(loaded):
    text = """\
    macros: {bin: llama-server, run: "${bin} --port ${PORT}"}
    models: {m: {cmd: "${run} -m x"}}
    """
    assert model(loaded, text).cmd == "llama-server --port ${PORT} -m x"


def test_not_those_below_it(mistakes):
    text = """\
    macros: {run: "${bin} --port ${PORT}", bin: llama-server}
    models: {m: {cmd: "${run}"}}
    """
    assert mistakes(text) == [
        (
            "c.yaml:2:14 models.m.cmd: unknown macro '${bin}' found in m.cmd; "
            "it is declared below the macro that uses it"
        )
    ]


def test_a_models_macro_replaces_the_global_one_in_its_position(loaded):
    text = """\
    macros: {tag: global, msg: "value-${tag}"}
    models:
      m: {cmd: "x ${PORT}", name: "${msg}", macros: {tag: own}}
      n: {cmd: "x ${PORT}", name: "${msg}"}
    """
    config = loaded(text)
    assert config.models["m"].name == "value-own"
    assert config.models["n"].name == "value-global"


def test_a_models_macro_is_nobody_elses(mistakes):
    text = """\
    models:
      m: {cmd: "x ${PORT}", macros: {own: 1}}
      n: {cmd: "x ${PORT} ${own}"}
    """
    (line,) = mistakes(text)
    assert line.startswith("c.yaml:3:7 models.n.cmd: unknown macro '${own}' found in n.cmd")


def test_a_value_that_is_one_macro_takes_its_type(loaded):
    text = """\
    macros: {seconds: 60, flag: true, text: "3", version: 1.0}
    globalTTL: ${seconds}
    models:
      m:
        cmd: x ${PORT} ${seconds} ${flag} ${version}
        unlisted: ${flag}
        metadata: {a: "${seconds}", b: "in ${seconds} s", c: [{d: "${text}"}], "${KEY}": 1, e: "${version}"}
    """
    config = loaded(text)
    row = config.models["m"]
    assert row.ttl == 60
    assert row.unlisted is True
    assert row.cmd == "x ${PORT} 60 true 1"
    assert row.metadata == {"a": 60, "b": "in 60 s", "c": [{"d": "3"}], "${KEY}": 1, "e": 1.0}


def test_the_models_id_is_a_macro(loaded):
    text = """\
    macros: {where: "/models/${MODEL_ID}.gguf"}
    models: {"a/b:F16": {cmd: "x ${PORT} ${where}"}}
    """
    assert loaded(text).models["a/b:F16"].cmd == "x ${PORT} /models/a/b:F16.gguf"


def test_globals_apply_to_the_rest_of_the_file(loaded):
    text = """\
    macros: {first: 9000, m: m}
    startPort: ${first}
    hooks: {on_startup: {preload: ["${m}"]}}
    models: {m: {cmd: "x ${PORT}"}}
    """
    config = loaded(text)
    assert config.ports == {"m": 9000}
    assert config.preload == ("m",)


def test_comments_in_commands_go_first(loaded):
    text = """\
    macros: {evil: "a\\n --flag"}
    models:
      m:
        cmd: |
          # ${nope} ${evil}
          x ${PORT} # stays
            # goes
        cmdStop: |
          # ${nope}
          stop ${PID}
    """
    row = model(loaded, text)
    assert row.cmd == "x ${PORT} # stays\n"
    assert row.cmd_stop == "stop ${PID}\n"


def test_ports_are_given_in_order_of_the_ids_to_those_that_take_one(loaded):
    text = """\
    startPort: 9000
    models:
      zed: {cmd: "x ${PORT}"}
      fixed: {cmd: "x 1234", proxy: "http://h:1234"}
      author/model:F16: {cmd: [x, "--port", "${PORT}"]}
    """
    assert loaded(text).ports == {"author/model:F16": 9000, "zed": 9001}


def test_the_port_stays_in_what_the_host_fills_in(loaded):
    text = """\
    models:
      m:
        cmd: x ${PORT}
        cmdStop: stop ${PORT} ${PID}
        proxy: http://h:${PORT}
        checkEndpoint: /${PORT}
        env: ["P=${PORT}"]
        name: at ${PORT}
        metadata: {port: "${PORT}", all: ["${PORT}", {p: "p${PORT}"}]}
    """
    row = model(loaded, text)
    assert (row.cmd, row.cmd_stop) == ("x ${PORT}", "stop ${PORT} ${PID}")
    assert (row.proxy, row.check_endpoint, row.env) == (
        "http://h:${PORT}",
        "/${PORT}",
        ("P=${PORT}",),
    )
    assert row.name == "at 5800"
    assert row.metadata == {"port": 5800, "all": [5800, {"p": "p5800"}]}


def test_a_socket_is_where_the_proxy_goes(loaded):
    config = loaded("models: {m: {cmd: 'x --host ${SOCKET}', env: ['S=${SOCKET}']}}")
    assert config.models["m"].proxy == "unix:${SOCKET}"
    assert config.models["m"].env == ("S=${SOCKET}",)
    assert config.ports == {}


def test_somebodys_own_macro_of_that_name_is_used(loaded):
    text = "macros: {SOCKET: /tmp/s}\nmodels: {m: {cmd: 'x ${SOCKET} ${PORT}'}}"
    assert model(loaded, text).cmd == "x /tmp/s ${PORT}"


def test_declarations_stay_as_they_are(loaded):
    text = "models: {m: {cmd: 'x ${PORT}', macros: {a: '${MODEL_ID}'}}}"
    assert model(loaded, text).macros == {"a": "${MODEL_ID}"}


@pytest.mark.parametrize(
    ("macro", "message"),
    [
        ("PORT: 1", "macro name 'PORT' is reserved"),
        ("PID: 1", "macro name 'PID' is reserved"),
        ("MODEL_ID: 1", "macro name 'MODEL_ID' is reserved"),
        (
            "a b: 1",
            "macro name 'a b' contains invalid characters; letters, digits, _ and - are fine",
        ),
        (f"{'a' * 64}: 1", f"macro name '{'a' * 64}' exceeds maximum length of 63 characters"),
        ("a: [1]", "macro 'a' must be a scalar type (text, a number, true or false)"),
        ("a: {b: 1}", "macro 'a' must be a scalar type (text, a number, true or false)"),
        ("a: null", "macro 'a' must be a scalar type (text, a number, true or false)"),
        ("a: 'x ${a}'", "macro 'a' contains self-reference"),
    ],
)
def test_a_bad_declaration(mistakes, macro, message):
    name = macro.split(":")[0]
    assert mistakes(f"macros: {{{macro}}}") == [f"c.yaml:1:10 macros.{name}: {message}"]
    (line,) = mistakes(f"models: {{m: {{cmd: 'x ${{PORT}}', macros: {{{macro}}}}}}}")
    assert line == f"c.yaml:1:41 models.m.macros.{name}: model m: {message}"


@pytest.mark.parametrize("where", ["macros: [a]", "models: {m: {cmd: 'x ${PORT}', macros: [a]}}"])
def test_declarations_are_a_mapping(mistakes, where):
    (line,) = mistakes(where)
    assert line.endswith("macros: must be a mapping of names to values")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("cmdStop: 's ${X}'", "unknown macro '${X}' found in m.cmdStop"),
        ("proxy: 'http://h/${X}'", "unknown macro '${X}' found in m.proxy"),
        ("checkEndpoint: '/${X}'", "unknown macro '${X}' found in m.checkEndpoint"),
        ("name: '${X}'", "unknown macro '${X}' found in m.name"),
        ("description: '${X}'", "unknown macro '${X}' found in m.description"),
        ("filters: {stripParams: '${X}'}", "unknown macro '${X}' found in m.filters.stripParams"),
        ("metadata: {a: ['${X}']}", "model m metadata: unknown macro '${X}'"),
        ("env: ['A=${X}']", "model m env: unknown macro '${X}'"),
        (
            "name: '${PID}'",
            "unknown macro '${PID}' found in m.name; it is only available in a model's cmdStop",
        ),
        (
            "name: '${SOCKET}'",
            (
                "unknown macro '${SOCKET}' found in m.name; it is only available in a model's cmd, "
                "cmdStop, proxy, checkEndpoint and env"
            ),
        ),
    ],
)
def test_an_unknown_macro_says_where_it_was_found(mistakes, field, message):
    (line,) = mistakes(f"models:\n  m:\n    cmd: x ${{PORT}}\n    {field}\n")
    assert line.startswith("c.yaml:4:")
    assert line.endswith(f": {message}")


def test_each_unknown_macro_is_told_and_what_was_meant(mistakes):
    text = "macros: {server: x}\nmodels: {m: {cmd: '${servr} ${b} ${b} ${PORT}'}}"
    assert mistakes(text) == [
        "c.yaml:2:14 models.m.cmd: unknown macro '${b}' found in m.cmd",
        "c.yaml:2:14 models.m.cmd: unknown macro '${servr}' found in m.cmd; did you mean `server`?",
    ]


def test_at_the_top_there_is_no_model(mistakes):
    (line,) = mistakes("apiKeys: ['${MODEL_ID}']")
    assert line == (
        "c.yaml:1:11 apiKeys[0]: unknown macro '${MODEL_ID}'; it is only available in a model's values"
    )


def test_a_dollar_without_braces_is_text(loaded):
    assert (
        model(loaded, "models: {m: {cmd: 'x $FOO $$ ${ } ${PORT}'}}").cmd
        == "x $FOO $$ ${ } ${PORT}"
    )


@pytest.mark.parametrize("proxy", ["", "proxy: 'http://h:${PORT}'", "proxy: 'unix:${SOCKET}'"])
def test_the_proxy_cannot_use_what_the_command_does_not(mistakes, proxy):
    (line,) = mistakes(f"models:\n  m:\n    cmd: x\n    {proxy}\n")
    assert "but cmd does not" in line
    assert line.startswith("c.yaml:4:5 " if proxy else "c.yaml:2:3 ")


def test_a_port_that_is_not_taken_cannot_be_used(mistakes):
    (line,) = mistakes("models: {m: {cmd: x, proxy: 'http://h:1', name: 'at ${PORT}'}}")
    assert line.endswith("${PORT} is only available when used in cmd")


def test_keys_are_targets_in_one_place_only(mistakes):
    text = """\
    macros: {a: same, b: same}
    models:
      m: {cmd: "x ${PORT}", filters: {setParamsByID: {"${a}": {}, "${b}": {}}}}
    """
    (line,) = mistakes(text)
    assert line.endswith("two keys resolve to the same value `same`")


def test_a_macro_bomb_does_not_go_off(mistakes):
    bomb = "\n".join(f"  m{n}: '{f'${{m{n - 1}}}' * 10}'" for n in range(1, 40))
    (line,) = mistakes(f"macros:\n  m0: xxxxxxxxxx\n{bomb}\ndefaultModel: '${{m39}}'\n")
    assert line.endswith(f"defaultModel: macros expand to more than {LONGEST} characters")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1.0, "1"), (1.5, "1.5"), (1e21, "1e+21"), (3, "3"), ("a", "a")],
)
def test_values_inside_text_print_as_go_prints_them(value, text):
    assert as_go_prints(value) == text


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("${}aPORTID_ #\n", max_size=12)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("aPORT", max_size=3), inner, max_size=3)
    ),
)
KEYS = st.sampled_from(["models", "macros", "startPort", "a", "cmd", "proxy", "metadata"])


@given(st.dictionaries(KEYS, TREES | st.dictionaries(KEYS, st.dictionaries(KEYS, TREES))))
def test_expansion_never_crashes(data):
    problems = Problems(Document(data))
    expanded, ports = expand(data, problems)
    assert expanded.keys() == data.keys()
    assert all(isinstance(number, int) for number in ports.values())


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.text("ab${} \n"), max_size=5),
    st.text("ab${} \n"),
)
def test_what_is_not_complained_of_holds_no_placeholder(macros, text):
    data = {"macros": macros, "value": text}
    problems = Problems(Document(data))
    expanded, _ = expand(data, problems)
    again, _ = expand({"value": expanded["value"]}, quiet := Problems(Document({})))
    assert problems.at(("value",)) or not quiet.at(("value",))
    assert again["value"] == expanded["value"] or problems.at(("value",))

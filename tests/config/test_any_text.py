"""Whatever is written: a configuration, or what is wrong with it, and never anything else."""

from contextlib import suppress
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from corral.config.command import launch_spec
from corral.config.load import Source, load
from corral.config.schema import rows
from corral.errors import ConfigError

WORDS = st.sampled_from(
    [
        *sorted({key for row in rows() for key in row.path if key != "*"}),
        *(
            "m",
            "n",
            "*a",
            "&a",
            "<<",
            "${PORT}",
            "{PORT}",
            "${SOCKET}",
            "${m}",
            "${env.A}",
            "${env.B}",
        ),
        *(
            "x ${PORT}",
            "true",
            "no",
            "0",
            "-1",
            "1.5",
            "null",
            "~",
            ".nan",
            "a & b",
            "+m",
            "'",
            '"',
            "|",
            ">",
        ),
        *("#", "%YAML 1.1", "---", "!!str", "!x", "\\", "[[", "]]", "=", '"""'),
    ]
)
GLUE = st.sampled_from(
    [
        ": ",
        ":\n  ",
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        ", ",
        " ",
        "{",
        "}",
        "[",
        "]",
        "\t",
        " = ",
        "\r\n",
    ]
)
TEXTS = st.lists(st.tuples(WORDS, GLUE), max_size=30).map(
    lambda pairs: "".join(map("".join, pairs))
)
SCALARS = st.one_of(
    WORDS, st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def check(text, name):
    problems, config = outcome(text, name)
    assert all("\n" not in str(problem) for problem in problems)
    assert len(set(problems)) == len(problems)
    assert problems == sorted(problems)
    for model in config.models if config else ():
        assert launch_spec(config, model).argv


ENV = {"A": "a: b", "B": "x\ny", "CORRAL_KEY": "sk-ours-secret", "CLOUD_KEY": "sk-theirs-secret"}


def outcome(text, name):
    """What is wrong, or the configuration: exactly one of them."""
    try:
        config = load([Source(name, text)], ENV)
    except ConfigError as error:
        return list(error.problems) or [None], None
    return [], config


@given(TEXTS, st.sampled_from(["c.yaml", "c.toml"]))
def test_any_words(text, name):
    check(text, name)


@given(st.text(), st.sampled_from(["c.yaml", "c.toml"]))
def test_any_characters(text, name):
    check(text, name)


def written(tree):
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{quoted(k)}: {written(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(written, tree)) + "]"
    return quoted(tree) if isinstance(tree, str) else str(tree).lower().replace("none", "~")


def quoted(text):
    return "'" + text.replace("'", "''").replace("\n", " ") + "'"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(WORDS, TREES, max_size=4),
    st.dictionaries(
        st.sampled_from(["m", "n"]), st.dictionaries(WORDS, TREES, max_size=5), max_size=2
    ),
)
def test_any_values_where_they_do_not_belong(top, models):
    check(written(top | {"models": models}), "c.yaml")


EVERY_KEY = YAML(typ="safe", pure=True).load(Path(__file__).with_name("every_key.yaml"))


def places(tree, path=()):
    """The path of everything in `tree`."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for step, value in items:
        yield (*path, step)
        yield from places(value, (*path, step))


@given(
    st.lists(st.tuples(st.sampled_from(sorted(places(EVERY_KEY), key=str)), TREES), max_size=4),
)
def test_any_value_in_any_place(changes):
    tree = deepcopy(EVERY_KEY)
    for path, value in changes:
        with suppress(LookupError, TypeError):
            parent = reduce(getitem, path[:-1], tree)
            if parent[path[-1]] != value:
                parent[path[-1]] = value
    text = written(tree)
    check(text, "c.yaml")
    problems, _ = outcome(text, "c.yaml")
    told = "\n".join(map(str, problems))
    assert "sk-ours" not in told
    assert "sk-theirs" not in told
    assert all(problem.line == 1 for problem in problems)

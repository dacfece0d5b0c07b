"""Dotted paths into JSON text: what they mean, and that nothing else changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.paths import LAST, Step, cut, parse, put
from corral.errors import InvalidRequest


def s(name):
    return Step(name)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", (s("a"),)),
        ("a.b.c", (s("a"), s("b"), s("c"))),
        (r"a\.b.c", (s("a.b"), s("c"))),
        (r"a\\.b", (s("a\\"), s("b"))),
        ("a\\", (s("a"),)),
        ("a.0", (s("a"), Step("0", 0))),
        ("a.-1", (s("a"), Step("-1", LAST))),
        ("a.:0", (s("a"), s("0"))),
        (r"a.\:0", (s("a"), s(":0"))),
        ("a.99999", (s("a"), s("99999"))),
        ("a.²", (s("a"), s("²"))),
        ("a\nb.c", (s("a\nb"), s("c"))),
        ("", (s(""),)),
        ("a.", (s("a"), s(""))),
        (".a", (s(""), s("a"))),
        ("größe. x ", (s("größe"), s(" x "))),
    ],
)
def test_steps(text, steps):
    assert parse(text) == steps


@given(st.text())
def test_any_text_is_a_path(text):
    assert len(parse(text)) >= 1


@given(st.lists(st.text(st.characters(exclude_characters=":")), min_size=1, max_size=5))
def test_escaped_names_come_back(names):
    path = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)
    assert [step.name for step in parse(path)] == names


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("", "", ""),
        ('{"a": [1, 2] ,"b":0}', "b", '{"a":[1, 2],"b":!}'),
        ("{}", "a.b", '{"a":{"b":!}}'),
        ("", "a.b", '{"a":{"b":!}}'),
        ("5", "a", '{"a":!}'),
        ("null", "0", "[!]"),
        ('"text"', "0.a", '[{"a":!}]'),
        ("", "1.a", '[null,{"a":!}]'),
        ("[ 1 , {} ]", "0", "[!,{}]"),
        ("[1]", "3", "[1,null,null,!]"),
        ("[1]", "-1", "[1,!]"),
        ("[1]", "-1.x", '[1,{"x":!}]'),
        ("{}", "-1", '{"-1":!}'),
        ('{"0":1}', "0", '{"0":!}'),
        ("", ":0", '{"0":!}'),
        ('{"a":{"b":1,"c":[true]}}', "a.c.0", '{"a":{"b":1,"c":[!]}}'),
        ('{"a":1,"a":2}', "a", '{"a":!}'),
    ],
)
def test_set(before, path, after):
    done = put(before.encode(), parse(path) if path else (), b"!")
    assert done.decode() == (after or "!")


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ('{"a":1,"b": 2}', "a", '{"b":2}'),
        ('{"a":1}', "a", "{}"),
        ('{"a": 1}', "b", '{"a": 1}'),
        ('{"a":{"b":1,"c":[ 0, 1 ]}}', "a.c.0", '{"a":{"b":1,"c":[1]}}'),
        ('{"a":{"c":[0,1]}}', "a.c.-1", '{"a":{"c":[0]}}'),
        ("[]", "-1", "[]"),
        ("[1]", "1", "[1]"),
        ("[1]", "a", "[1]"),
        ("[[1,2],3]", "0.1", "[[1],3]"),
        ("5", "a", "5"),
        ('{"a":5}', "a.b", '{"a":5}'),
        ('{"a":1,"a":2}', "a", "{}"),
    ],
)
def test_take_out(before, path, after):
    assert cut(before.encode(), parse(path)).decode() == after


@pytest.mark.parametrize("path", ["a.b", "a.:0", "a.b.c"])
def test_a_list_has_no_names(path):
    with pytest.raises(InvalidRequest, match="is a list"):
        put(b'{"a":[]}', parse(path), b"1")


def reference_put(value, path, new):
    if not path:
        return new
    step, *rest = path
    if isinstance(value, list) or (not isinstance(value, dict) and step.index is not None):
        value = value if isinstance(value, list) else []
        index = len(value) if step.index == LAST else step.index
        value = value + [None] * (index + 1 - len(value))
        value[index] = reference_put(value[index], rest, new)
        return value
    value = value if isinstance(value, dict) else {}
    return {**value, step.name: reference_put(value.get(step.name), rest, new)}


def reference_cut(value, path):
    step, *rest = path
    if isinstance(value, dict) and step.name in value:
        if rest:
            return {**value, step.name: reference_cut(value[step.name], rest)}
        return {name: one for name, one in value.items() if name != step.name}
    if isinstance(value, list) and step.index is not None and value and step.index < len(value):
        index = step.index % len(value)
        new = [reference_cut(value[index], rest)] if rest else []
        return value[:index] + new + value[index + 1 :]
    return value


KEYS = st.sampled_from(["a", "b", "a.b", "0", "1", "-1", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(
    st.sampled_from(["a", "b", r"a\.b", "0", "1", "-1", ":0"]), min_size=1, max_size=3
).map(".".join)


@given(VALUES, PATHS, st.sampled_from([None, 0, 2]))
def test_the_same_as_in_plain_python(value, path, indent):
    raw = json.dumps(value, indent=indent).encode()
    steps = parse(path)
    assert json.loads(cut(raw, steps)) == reference_cut(value, steps)
    try:
        done = put(raw, steps, b'"new"')
    except InvalidRequest:
        return
    assert json.loads(done) == reference_put(value, steps, "new")

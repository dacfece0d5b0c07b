"""The matrix language, text to tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.matrix import DEEPEST, Either, Every, One, Vocabulary, parse_sets

MODELS = {"a": "model/a", "b": "b", "c": "c", "long.name_1-x": "l", "größe": "g"}
A, B, C = One("model/a"), One("b"), One("c")


def parse(**texts):
    wrong = []
    sets = parse_sets(
        texts, Vocabulary(MODELS, {"al": "b"}), lambda name, message: wrong.append((name, message))
    )
    return sets, wrong


def expression(text):
    (found,), wrong = parse(s=text)
    assert wrong == []
    return found.expression


def mistake(text):
    sets, ((name, message),) = parse(s=text)
    assert (sets, name) == ((), "s")
    return message


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        (" ( a ) ", A),
        ("a & b", Every((A, B))),
        ("a|b|c", Either((A, B, C))),
        ("a | b & c", Either((A, Every((B, C))))),
        ("(a | b) & c", Every((Either((A, B)), C))),
        ("a&b&(c|a)", Every((A, B, Either((C, A))))),
        ("long.name_1-x\n&größe", Every((One("l"), One("g")))),
    ],
)
def test_together_binds_tighter_than_either(text, tree):
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty DSL expression"),
        (" \n", "empty DSL expression"),
        ("a % b", "unexpected character '%' at position 3"),
        ("a/b", "unexpected character '/' at position 2"),
        ("a & + b", "expected set name after '+' at position 5"),
        ("(a", "missing closing parenthesis"),
        ("(a b)", "missing closing parenthesis"),
        ("a b", "unexpected token 'b' at position 3"),
        ("a)", "unexpected token ')' at position 2"),
        ("a &", "unexpected token: the expression ends too early"),
        ("| a", "unexpected token '|' at position 1"),
        ("()", "unexpected token ')' at position 2"),
        ("al", "unknown var or model 'al': it is an alias; name the model itself: 'b'"),
        ("a & zzz", "unknown var or model 'zzz'"),
        ("long.name-x", "unknown var or model 'long.name-x'; did you mean `long.name_1-x`?"),
        ("+nope", "references undefined set 'nope'"),
        ("+s", "circular reference: s -> s"),
        ("(" * 9999 + "a", f"parentheses nested more than {DEEPEST} deep"),
    ],
)
def test_a_mistake_is_told(text, message):
    assert mistake(text) == message


def test_a_set_may_include_another_wherever_that_stands():
    sets, wrong = parse(z="+m & c", m="a | b")
    assert wrong == []
    assert [one.name for one in sets] == ["m", "z"]
    assert sets[1].expression == Every((Either((A, B)), C))
    assert sets[1].expression.parts[0] is sets[0].expression


def test_otherwise_the_order_is_that_of_the_file():
    sets, _ = parse(z="a", m="+k", k="b", a="+z")
    assert [one.name for one in sets] == ["z", "k", "m", "a"]


def test_a_circle_is_told_once():
    sets, wrong = parse(x="+y", y="+z & a", z="+x", fine="a")
    assert wrong == [("z", "circular reference: x -> y -> z -> x")]
    assert [one.name for one in sets] == ["fine"]


def test_a_set_is_not_blamed_for_the_one_it_includes():
    _, wrong = parse(good="+bad & a", bad="a &")
    assert [name for name, _ in wrong] == ["bad"]


def test_sharing_keeps_a_million_combinations_small():
    texts = {"s0": "a | b"} | {f"s{n}": f"+s{n - 1} & +s{n - 1}" for n in range(1, 60)}
    sets, wrong = parse(**texts)
    assert wrong == []
    assert len(sets) == 60


def test_a_long_chain_of_references_is_no_problem():
    texts = {f"s{n}": f"+s{n + 1}" for n in range(5000)} | {"s5000": "a"}
    sets, wrong = parse(**texts)
    assert wrong == []
    assert sets[-1].expression == A


@given(st.dictionaries(st.sampled_from("stu"), st.text("ab +&|()stu_%"), min_size=1))
def test_any_text_is_a_set_or_a_mistake(texts):
    sets, wrong = parse(**texts)
    assert len(sets) < len(texts) or not wrong
    assert wrong or len(sets) == len(texts)

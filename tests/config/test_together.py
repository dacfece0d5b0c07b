"""Which models may be resident side by side."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.matrix import Either, Every, Matrix, One, Vocabulary, parse_sets
from corral.config.model import Group
from corral.config.together import Residency, hold


def residency(persist=(), **texts):
    names = Vocabulary({name: name for name in "abcdefgh"} | {f"m{n}": f"m{n}" for n in range(99)})
    wrong = []
    sets = parse_sets(texts, names, lambda *told: wrong.append(told))
    assert wrong == []
    return Residency({}, Matrix(sets), persist)


@pytest.mark.parametrize(
    ("text", "models", "together"),
    [
        ("a & b", "ab", True),
        ("a | b", "ab", False),
        ("(a | b) & (c | d)", "ac", True),
        ("(a | b) & (c | d)", "ab", False),
        ("(a | b) & (a | c)", "bc", True),
        ("(a | b) & (a | c)", "abc", False),
        ("(a & b | c) & (c | d)", "abc", True),
        ("(a & b | c) & (c | d)", "cd", True),
        ("a", "ab", False),
        ("a", "a", True),
    ],
)
def test_some_set_has_to_hold_them_all(text, models, together):
    assert (residency(s=text).apart(tuple(models)) == "") is together


def test_of_all_sets_one_has_to():
    rule = residency(s="a & b", t="b & c")
    assert rule.apart("bc") == ""
    assert "must all appear together in one expanded matrix set" in rule.apart("ac")


def test_persistent_models_are_in_every_set_and_group():
    assert residency(persist=("b",), s="a").apart("ab") == ""
    groups = {"g": Group(members=("a",)), "h": Group(members=("b",))}
    assert Residency(groups, None, {"b"}).apart("ab") == ""
    assert "share one routing group" in Residency(groups).apart("ab")


def test_a_group_that_does_not_swap_holds_its_members():
    assert Residency({"g": Group(swap=False, members=("a", "b"))}).apart("ab") == ""
    assert "swap: false" in Residency({"g": Group(members=("a", "b"))}).apart("ab")


def test_sharing_keeps_a_million_combinations_small():
    texts = {"s0": "a | b"} | {f"s{n}": f"+s{n - 1} & +s{n - 1}" for n in range(1, 60)}
    rule = residency(**texts)
    assert rule.apart("ab") == ""
    assert rule.apart("ac") != ""


def test_a_long_chain_of_references_is_no_problem():
    texts = {f"s{n}": f"+s{n + 1} | b" for n in range(3000)} | {"s3000": "a & c"}
    rule = residency(**texts)
    assert rule.apart("ac") == ""
    assert rule.apart("ab") != ""


def test_what_is_too_tangled_is_taken_for_possible():
    part = " | ".join(f"m{n} & m{(n * 7 + 1) % 99}" for n in range(40))
    rule = residency(s=" & ".join(f"({part})" for _ in range(19)))
    assert rule.apart([f"m{n}" for n in range(40)]) == ""


EXPRESSIONS = st.recursive(
    st.sampled_from([One(name) for name in "abcde"]),
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)),
        st.sampled_from([Every, Either]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=10,
)


def expanded(node):
    if isinstance(node, One):
        return {frozenset({node.model})}
    families = [expanded(part) for part in node.parts]
    if isinstance(node, Either):
        return set().union(*families)
    return {frozenset().union(*choice) for choice in product(*families)}


@given(EXPRESSIONS, st.sets(st.sampled_from("abcde"), min_size=1))
def test_the_answer_is_that_of_the_whole_expansion(expression, wanted):
    held = any(wanted <= one for one in expanded(expression))
    assert hold([expression], frozenset(wanted)) is held

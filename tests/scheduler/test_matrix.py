"""llama-swap's matrix: which models leave, and which set says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.policy import Option

MODELS = ("g", "q", "m", "v", "e", "L", "sd", "loner", "pin")


def either(*names):
    return Either(tuple(map(One, names)))


SETS = (
    NamedSet("standard", "(g | q | m) & v", Every((either(*"gqm"), One("v")))),
    NamedSet("with_rerank", "(g | q) & v & e", Every((either(*"gq"), One("v"), One("e")))),
    NamedSet("creative", "(g | q) & sd", Every((either(*"gq"), One("sd")))),
    NamedSet("full", "L", One("L")),
)


def policy(costs=(), persist=()):
    return MatrixPolicy(MODELS, Matrix(SETS, dict(costs)), persist)


@pytest.mark.parametrize(
    ("target", "residents", "victims"),
    [
        ("v", "g", ""),
        ("e", "gv", ""),
        ("q", "gv", "g"),
        ("L", "gve", "gve"),
        ("g", "L", "L"),
        ("e", "mv", "m"),  # with_rerank keeps v
        ("g", ["v", "sd"], ["sd"]),  # v costs as much as sd; standard comes first, so v stays
        ("loner", "gv", "gv"),  # in no set: alone
        ("g", ["loner", "v"], ["loner"]),
        ("g", "gL", ""),  # resident already: nobody leaves, though no set holds both
    ],
)
def test_who_leaves(target, residents, victims):
    assert policy().decide(target, frozenset(residents)).victims == tuple(victims)


def test_the_cheapest_set_wins():
    costs = {"sd": 9, "v": 2}
    verdict = policy(costs).decide("g", frozenset({"v", "sd"}))
    assert verdict.victims == ("v",)
    assert verdict.why == "set creative ((g | q) & sd), eviction cost 2"


def test_a_model_in_no_set_says_so():
    verdict = policy().decide("loner", frozenset("g"))
    assert verdict.why == "loner is in no set and runs alone"


def test_persist_models_are_in_every_set():
    pinned = policy(persist=["pin", "L"])
    assert pinned.decide("g", frozenset({"pin", "L", "sd"})).victims == ()
    assert pinned.decide("loner", frozenset({"pin", "g"})).victims == ("g",)
    assert pinned.decide("pin", frozenset({"g", "loner"})).victims == ()
    assert pinned.rivals("pin") == frozenset()
    assert "pin" not in pinned.rivals("g")


def test_rivals_share_no_set():
    known = policy()
    assert known.rivals("v") == frozenset({"L", "sd", "loner", "pin"})
    assert known.rivals("loner") == frozenset(MODELS) - {"loner"}
    assert known.rivals("v") is known.rivals("v")


def test_verdicts_are_remembered_but_not_for_ever(monkeypatch):
    monkeypatch.setattr("corral.scheduler.matrix.REMEMBERED", 1)
    known = policy()
    first = known.decide("L", frozenset("g"))
    assert known.decide("L", frozenset("g")) is first
    known.decide("g", frozenset("L"))
    assert known.decide("L", frozenset("g")) == first


def test_a_set_of_one_model_twice():
    twice = Matrix((NamedSet("s", "a & a", Every((One("a"), One("a")))),))
    assert MatrixPolicy(("a", "b"), twice).decide("a", frozenset("b")).victims == ("b",)


def test_the_best_of_each_set_is_an_option():
    known = policy(costs={"v": 7})
    assert known.options("g", frozenset(["v", "sd"])) == (
        Option("set standard ((g | q | m) & v)", ("sd",), 1),
        Option("set with_rerank ((g | q) & v & e)", ("sd",), 1),
        Option("set creative ((g | q) & sd)", ("v",), 7),
    )
    assert known.options("loner", frozenset("gv")) == (
        Option("loner is in no set and runs alone", ("g", "v"), 8),
    )
    assert known.options("v", frozenset("v"))[0].cost == 0


@given(
    st.sampled_from(MODELS),
    st.sets(st.sampled_from(MODELS)),
    st.dictionaries(st.sampled_from(MODELS), st.integers(1, 9)),
)
def test_the_first_option_is_the_decision(target, residents, costs):
    known = policy(costs, persist=["pin"])
    options = known.options(target, frozenset(residents))
    assert options[0].victims == known.decide(target, frozenset(residents)).victims
    assert [o.cost for o in options] == sorted(o.cost for o in options)
    for option in options:
        assert option.cost == sum(known.cost(victim) for victim in option.victims)


def test_prices_change_the_choice_of_another_policy():
    known = policy()
    assert known.decide("g", frozenset(["v", "sd"])).victims == ("sd",)
    other = known.priced({"sd": 30})
    assert other.decide("g", frozenset(["v", "sd"])).victims == ("v",)
    assert known.decide("g", frozenset(["v", "sd"])).victims == ("sd",)
    assert (known.cost("sd"), other.cost("sd"), other.cost("v")) == (1, 30, 1)


def test_models_that_can_be_exchanged_are_of_one_kind():
    kinds = [policy(persist=["pin"]).kind(model) for model in MODELS]
    assert kinds == ["g", "g", "m", "v", "e", "L", "sd", "loner", "pin"]
    assert policy().kind("pin") == policy().kind("loner")

"""llama-swap's groups, rule by rule."""

from __future__ import annotations

import pytest

from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.policy import Option

MODELS = ("one", "two", "kept", "side", "lone", "other", "pin")
GROUPS = (
    GroupRules("swapping", ("one", "two")),
    GroupRules("kept", ("kept",), swap=False, exclusive=False, persistent=True),
    GroupRules("side", ("side",), swap=False, exclusive=False),
)


@pytest.mark.parametrize(
    ("target", "residents", "victims"),
    [
        ("one", {"two"}, ("two",)),  # inside a swapping group
        ("one", {"one"}, ()),
        ("one", {"lone", "side"}, ("side", "lone")),  # exclusive: everyone outside leaves
        ("one", {"kept"}, ()),  # but a persistent group
        ("side", {"one", "lone"}, ()),  # one-way: not exclusive
        ("kept", {"one", "side"}, ()),
        ("lone", {"other", "one"}, ("one", "other")),  # (default): one at a time, exclusive
        ("one", {"pin", "two"}, ("two",)),  # a persist model never leaves
        ("pin", {"one", "lone"}, ()),  # and fits beside everyone
    ],
)
def test_who_leaves(target, residents, victims):
    verdict = Groups(MODELS, GROUPS, ["pin"]).decide(target, frozenset(residents))
    assert verdict.victims == victims
    assert bool(verdict.why) is bool(victims)


def test_the_reason_names_the_rule():
    groups = Groups(MODELS, GROUPS)
    why = groups.decide("one", frozenset({"two", "lone"})).why
    assert why == "the models of group swapping replace each other and group swapping is exclusive"


def test_rivals_are_those_of_whom_one_evicts_the_other():
    groups = Groups(MODELS, GROUPS, ["pin"])
    for one in MODELS:
        for other in set(MODELS) - {one}:
            either = groups.decide(one, frozenset({other})).victims
            either += groups.decide(other, frozenset({one})).victims
            assert (other in groups.rivals(one)) is bool(either)
            evicted = groups.decide(other, frozenset({one})).victims
            assert (other in groups.evictors(one)) is bool(evicted)


def test_a_group_that_loads_together_makes_room_for_all_its_members():
    together = GroupRules("rag", ("pin", "one"), swap=False, together=True)
    groups = Groups(MODELS, [together], ["pin"])
    assert groups.decide("pin", frozenset({"one", "lone"})).victims == ("lone",)
    alone = Groups(MODELS, [GroupRules("rag", ("pin",), swap=False, together=True)], ["pin"])
    assert alone.decide("pin", frozenset({"lone"})).victims == ()


def test_models_of_one_kind_are_all_the_same_to_the_others():
    groups = Groups(MODELS, GROUPS, ["pin"])
    for left in MODELS:
        for right in MODELS:
            if left != right and groups.kind(left) == groups.kind(right):
                rest = frozenset(MODELS) - {left, right}
                assert groups.rivals(left) - {left, right} == groups.rivals(right) - {left, right}
                assert groups.decide(left, rest) == groups.decide(right, rest)
    assert groups.kind("one") == groups.kind("two")


def test_the_one_option_is_the_group():
    groups = Groups(MODELS, GROUPS)
    assert groups.options("one", frozenset({"two"})) == (
        Option("the models of group swapping replace each other", ("two",)),
    )
    assert groups.options("one", frozenset()) == (
        Option("group swapping asks nobody here to leave"),
    )
    persistent = Groups(MODELS, GROUPS, ["pin"]).options("pin", frozenset({"one"}))
    assert persistent == (Option("pin persists, and runs beside everything else"),)
    assert groups.cost("one") is None
    assert groups.priced({"one": 3}) is groups

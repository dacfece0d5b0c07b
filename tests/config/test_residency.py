"""Groups and matrix, in both spellings."""

import pytest

from corral.config.matrix import Every, One

MODELS = (
    "models: {a: {cmd: 'x ${PORT}', aliases: [al]}, b: {cmd: 'x ${PORT}'}, c: {cmd: 'x ${PORT}'}}\n"
)
MATRIX = "{vars: {x_1: a, y: b}, evict_costs: {y: 5, c: 2, a: auto}, sets: {s: 'x_1 & y', t: c}}"


def nested(text):
    return f"routing: {{router: {text}}}"


def test_models_in_no_group_are_in_one_of_their_own(loaded):
    config = loaded(
        MODELS + "groups: {g: {swap: false, exclusive: false, persistent: true, members: [b]}}"
    )
    assert list(config.groups) == ["g", "(default)"]
    group, rest = config.groups.values()
    assert (group.swap, group.exclusive, group.persistent, group.members) == (
        False,
        False,
        True,
        ("b",),
    )
    assert (rest.swap, rest.exclusive, rest.persistent, rest.members) == (
        True,
        True,
        False,
        ("a", "c"),
    )


def test_when_all_are_in_groups_there_is_no_other(loaded):
    assert list(loaded(MODELS + "groups: {g: {members: [a, b, c]}}").groups) == ["g"]


def test_a_group_by_that_name_is_ignored_and_noted(loaded):
    config = loaded(MODELS + "groups: {(default): {swap: false, members: [a]}}")
    assert config.groups["(default)"].swap
    assert config.groups["(default)"].members == ("a", "b", "c")
    assert config.notes == (
        "c.yaml:2 groups.(default): is made of the models in no group; ignored",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"matrix: {MATRIX}",
        nested(f"{{use: matrix, settings: {{matrix: {MATRIX}}}}}"),
        nested(f"{{settings: {{matrix: {MATRIX}}}}}"),
    ],
)
def test_a_matrix_in_any_spelling(loaded, text):
    config = loaded(MODELS + text)
    assert config.groups == {}
    assert [one.expression for one in config.matrix.sets] == [Every((One("a"), One("b"))), One("c")]
    assert config.matrix.evict_costs == {"b": 5, "c": 2}
    assert config.matrix.learned == {"a"}
    assert config.notes == ()


def test_costs_may_be_automatic_as_a_whole(loaded):
    config = loaded(MODELS + "matrix: {evict_costs: auto, sets: {s: a}}")
    assert config.matrix.evict_costs == {}
    assert config.matrix.learned == {"a", "b", "c"}


@pytest.mark.parametrize("costs", ["{x: auto, a: 7}", "{a: 7, x: auto}"])
def test_a_number_wins_over_auto_by_another_name(loaded, costs):
    config = loaded(MODELS + f"matrix: {{vars: {{x: a}}, evict_costs: {costs}, sets: {{s: x}}}}")
    assert (config.matrix.evict_costs, config.matrix.learned) == ({"a": 7}, frozenset())


@pytest.mark.parametrize("use", ["use: group, ", ""])
def test_groups_in_the_newer_spelling(loaded, use):
    config = loaded(MODELS + nested(f"{{{use}settings: {{groups: {{g: {{members: [a, b]}}}}}}}}"))
    assert list(config.groups) == ["g", "(default)"]
    assert config.matrix is None


def test_what_the_router_does_not_use_is_not_looked_at(loaded):
    settings = "{groups: {g: {members: [a]}}, matrix: {sets: {s: '('}}}"
    config = loaded(MODELS + nested(f"{{use: group, settings: {settings}}}"))
    assert config.groups["g"].members == ("a",)
    assert config.notes == (
        "c.yaml:2 routing.router.settings.matrix: not used: the router is the other one",
    )


def test_without_use_the_matrix_is_used(loaded):
    settings = "{groups: {g: {members: [zzz]}}, matrix: {sets: {s: a}}}"
    config = loaded(MODELS + nested(f"{{settings: {settings}}}"))
    assert config.matrix is not None
    assert config.notes == (
        "c.yaml:2 routing.router.settings.groups: not used: the router is the other one",
    )


def test_the_scheduler_goes_with_either_spelling(loaded):
    text = "groups: {g: {members: [a]}}\nrouting: {scheduler: {use: fifo}}"
    assert loaded(MODELS + text).scheduling.use == "fifo"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "groups: {g: {}}\nmatrix: {sets: {s: a}}",
            "c.yaml:3:1 matrix: config cannot use both 'groups' and 'matrix'",
        ),
        (
            "matrix: {sets: {s: a}}\nrouting: {router: {use: group}}",
            (
                "c.yaml:3:11 routing.router: stands beside top-level `matrix`: migrate that to "
                "`routing.router.settings.matrix`, or leave this out"
            ),
        ),
        (
            "groups: {g: {}}\nrouting: {router: {settings: {groups: {h: {}}}}}",
            (
                "c.yaml:3:11 routing.router: stands beside top-level `groups`: migrate that to "
                "`routing.router.settings.groups`, or leave this out"
            ),
        ),
        (
            nested("{use: matrix}"),
            "c.yaml:2:20 routing.router.use: routing.router.settings.matrix is not set",
        ),
        (
            nested("{use: x}"),
            "c.yaml:2:20 routing.router.use: unknown value `x`; known: group, matrix",
        ),
        (
            "groups: {g: {members: [a, a]}}",
            "c.yaml:2:27 groups.g.members[1]: duplicate model member a found in group: g",
        ),
        (
            "groups: {g: {members: [a]}, f: {members: [a]}}",
            "c.yaml:2:24 groups.g.members[0]: model member a is used in multiple groups: f, g",
        ),
        (
            "groups: {g: {members: [al]}}",
            "c.yaml:2:24 groups.g.members[0]: `al` is an alias; name the model itself: `a`",
        ),
        (
            "groups: {g: {members: [aa]}}",
            'c.yaml:2:24 groups.g.members[0]: no model config for "aa"; did you mean `a`?',
        ),
        (
            "groups: {g: {swap: true, loadTogether: true}}",
            (
                "c.yaml:2:14 groups.g.swap: members cannot both replace each other and load together: "
                "`loadTogether` needs `swap: false`"
            ),
        ),
        (
            "groups: {g: {loadTogether: true}}",
            (
                "c.yaml:2:14 groups.g.loadTogether: members cannot both replace each other and load together: "
                "`loadTogether` needs `swap: false`"
            ),
        ),
        ("matrix: {}", "c.yaml:2:1 matrix: a matrix needs at least one set"),
        ("matrix: {sets: [a]}", "c.yaml:2:10 matrix.sets: must be a mapping, not a list"),
        (
            "matrix: {sets: {s: 'a &'}}",
            "c.yaml:2:17 matrix.sets.s: s: unexpected token: the expression ends too early",
        ),
        (
            "matrix: {sets: {s: al}}",
            "c.yaml:2:17 matrix.sets.s: s: unknown var or model 'al': it is an alias; name the model itself: 'a'",
        ),
        (
            "matrix: {vars: {v/: a}, sets: {s: a}}",
            "c.yaml:2:17 matrix.vars.v/: var `v/` must be only alphanumeric, '-' or '.' (or '_') and 1-32 characters",
        ),
        (
            "matrix: {vars: {v: al}, sets: {s: v}}",
            "c.yaml:2:17 matrix.vars.v: var `v` references unknown model `al`: it is an alias; name the model itself: `a`",
        ),
        (
            "matrix: {vars: {v: zz}, sets: {s: v}, evict_costs: {v: 3}}",
            "c.yaml:2:17 matrix.vars.v: var `v` references unknown model `zz`",
        ),
        (
            "matrix: {evict_costs: {zz: 3}, sets: {s: a}}",
            "c.yaml:2:24 matrix.evict_costs.zz: unknown var or model `zz`",
        ),
        (
            "matrix: {evict_costs: {a: 0}, sets: {s: a}}",
            "c.yaml:2:24 matrix.evict_costs.a: must be a positive integer or `auto`, not `0`",
        ),
        (
            "matrix: {evict_costs: 3, sets: {s: a}}",
            "c.yaml:2:10 matrix.evict_costs: must be a mapping of vars or model ids to costs, or `auto`",
        ),
    ],
)
def test_a_mistake_is_told_with_its_reason(mistakes, text, line):
    assert mistakes(MODELS + text) == [line]

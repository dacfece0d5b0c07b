"""The symbolic search against the full expansion, which it must never need."""

from __future__ import annotations

from itertools import permutations, product

from hypothesis import example, given
from hypothesis import strategies as st

from corral.config.matrix import Either, Every, Expression, Matrix, NamedSet, One
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.solver import companions, compiled

NAMES = tuple("abcdefg")


def expand(expression: Expression) -> list[frozenset[str]]:
    """Every state, in order, by the definition of the language."""
    match expression:
        case One(model):
            return [frozenset({model})]
        case Either(parts):
            return [state for part in parts for state in expand(part)]
        case Every(parts):
            return [frozenset().union(*states) for states in product(*map(expand, parts))]


def by_expansion(matrix: Matrix, target: str, residents: frozenset[str]) -> frozenset[str]:
    """Who leaves, by llama-swap's rule, written down as it is said."""
    if target in residents:
        return frozenset()
    best: tuple[int, frozenset[str]] | None = None
    for named in matrix.sets:
        for state in expand(named.expression):
            leaves = residents - state
            cost = sum(matrix.evict_costs.get(model, 1) for model in leaves)
            if target in state and (best is None or cost < best[0]):
                best = cost, leaves
    return residents if best is None else best[1]


def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    shared = inner.map(lambda e: (e, e))
    return (parts | shared).flatmap(lambda p: st.sampled_from([Every(p), Either(p)]))


expressions = st.recursive(st.sampled_from(NAMES).map(One), grown, max_leaves=9)
matrices = st.builds(
    lambda roots, costs: Matrix(
        tuple(NamedSet(f"s{n}", "", root) for n, root in enumerate(roots)), costs
    ),
    st.lists(expressions, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3)),
)


def names(text: str) -> tuple[One, ...]:
    return tuple(One(name) for name in text)


SHARED = Every((Either(names("ab")), Either((Every(names("ac")), One("d")))))


@given(matrices, st.sampled_from(NAMES), st.frozensets(st.sampled_from(NAMES)))
@example(Matrix((NamedSet("s", "", Every((SHARED, SHARED))),)), "d", frozenset("abc"))
@example(Matrix((NamedSet("s", "", Every((Either(names("ab")), One("g")))),)), "g", frozenset("ab"))
def test_the_search_decides_as_the_full_expansion_would(matrix, target, residents):
    verdict = MatrixPolicy(NAMES, matrix).decide(target, residents)
    assert frozenset(verdict.victims) == by_expansion(matrix, target, residents)
    assert len(set(verdict.victims)) == len(verdict.victims)


@given(expressions)
def test_companions_are_those_that_some_state_holds_together(expression):
    bits = {name: 1 << n for n, name in enumerate(NAMES)}
    states = expand(expression)
    found = companions([compiled(expression, bits, {})], len(NAMES))
    for n, one in enumerate(NAMES):
        beside = {other for other in NAMES if other != one and found[n] & bits[other]}
        assert beside == {o for o in NAMES if o != one and any({o, one} <= s for s in states)}


@given(matrices, st.frozensets(st.sampled_from(NAMES)))
def test_an_evictor_always_evicts(matrix, residents):
    policy = MatrixPolicy(NAMES, matrix, ["g"])
    for model in residents:
        for evictor in policy.evictors(model) - residents:
            assert model in policy.decide(evictor, residents).victims


@given(matrices, st.frozensets(st.sampled_from(NAMES)))
def test_models_of_one_kind_are_all_the_same_to_the_others(matrix, residents):
    policy = MatrixPolicy(NAMES, matrix, ["g"])
    for left, right in permutations(NAMES, 2):
        if policy.kind(left) == policy.kind(right):
            pair = {left, right}
            assert policy.rivals(left) - pair == policy.rivals(right) - pair
            others = residents - pair
            assert policy.decide(left, others).victims == policy.decide(right, others).victims


def test_a_million_combinations_are_not_expanded():
    pairs = [Either((One(f"l{n}"), One(f"r{n}"))) for n in range(20)]
    models = [m.model for pair in pairs for m in pair.parts] + ["x"]
    policy = MatrixPolicy(models, Matrix((NamedSet("all", "", Every((*pairs, One("x")))),)))
    everyone = frozenset(models) - {"x"}
    assert policy.decide("x", everyone).victims == tuple(f"r{n}" for n in range(20))


def test_a_set_that_doubles_itself_is_solved_once_per_level():
    expression: Expression = Either(names("ab"))
    for _ in range(40):
        expression = Every((expression, expression))
    policy = MatrixPolicy("abc", Matrix((NamedSet("deep", "", expression),)))
    assert policy.decide("a", frozenset("b")).victims == ()
    assert policy.decide("a", frozenset("c")).victims == ("c",)

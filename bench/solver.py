"""How long a matrix takes to decide: python bench/solver.py

A set with a million combinations of 70 models (wanted: under 5 ms), and decisions among 50 models (wanted: under 200 us each, asked for
the first time; a repeated question is a dictionary look-up). The best of several runs, for the machine is not ours alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.matrix import MatrixPolicy


def best(work: Callable[[], object], runs: int = 7) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def either(names: list[str]) -> Either:
    return Either(tuple(map(One, names)))


def million() -> tuple[list[str], Matrix]:
    """Ten parts of four, and thirty that go with them: 4**10 states."""
    names = [f"m{n}" for n in range(70)]
    parts = [either(names[n : n + 4]) for n in range(0, 40, 4)]
    whole = Every((*parts, *map(One, names[40:])))
    return names, Matrix((NamedSet("all", "all", whole),))


def fifty() -> tuple[list[str], Matrix]:
    """Fifteen sets over fifty models, four parts of three or four each; models stand in several sets and parts."""
    chance = random.Random(1)
    names = [f"m{n}" for n in range(50)]
    sets = []
    for n in range(15):
        parts = tuple(either(chance.sample(names, chance.choice([3, 4]))) for _ in range(4))
        sets.append(NamedSet(f"s{n}", "", Every(parts)))
    return names, Matrix(tuple(sets), {name: chance.randint(1, 9) for name in names})


def main() -> None:
    names, matrix = million()
    everyone = frozenset(names[1:])
    seconds = best(lambda: MatrixPolicy(names, matrix).decide("m0", everyone))
    print(f"a million combinations, 70 models, read and decided: {seconds * 1e3:8.3f} ms")

    names, matrix = fifty()
    chance = random.Random(2)
    for present in (3, 8, 20, 49):
        questions = [(t, frozenset(chance.sample(names, present)) - {t}) for t in names]
        policies = [MatrixPolicy(names, matrix) for _ in range(7)]
        seconds = best(lambda q=questions, p=policies: [p[-1].decide(*a) for a in q] and p.pop())
        print(f"decision among 50 models, {present:2d} resident: {seconds / 50 * 1e6:8.1f} us")


if __name__ == "__main__":
    main()

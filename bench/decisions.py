"""How long the scheduler takes to answer one fact: python bench/decisions.py

With a thousand models resident or waiting (wanted: at most 1 ms), and with ten thousand requests in line (wanted: the same, however
long the line, and whether one caller made it or ten thousand). The median, for the machine is not ours alone.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable

from corral.config.matrix import Either, Every, Matrix, NamedSet, One
from corral.scheduler.events import Arrived, Check, Checked, Departed, Fact, Ready, Start, Ticked
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import Machine, ModelRules, QueueRules
from corral.scheduler.matrix import MatrixPolicy

THOUSAND = [f"m{n}" for n in range(1000)]
requests = itertools.count(1)


def machine(*, swap: bool, parallel: int = 0) -> Machine:
    rules = {name: ModelRules(parallel=parallel, ttl=600) for name in THOUSAND}
    group = GroupRules("all", tuple(THOUSAND), swap=swap, exclusive=swap)
    return Machine(rules, Groups(THOUSAND, [group]), QueueRules(max_queue=0))


def obey(machine: Machine, fact: Fact, now: float) -> None:
    """Tell `fact`; checks are clean and loads done at once."""
    for order in machine.handle(fact, now):
        if isinstance(order, Check):
            obey(machine, Checked(order.model), now)
        elif isinstance(order, Start):
            obey(machine, Ready(order.model), now)


def show(what: str, machine: Machine, facts: Iterable[Fact], now: float) -> None:
    times = []
    for fact in facts:
        start = time.perf_counter()
        machine.handle(fact, now)
        times.append(time.perf_counter() - start)
    worst = statistics.quantiles(times, n=100)[98]
    print(f"{what:58} {statistics.median(times) * 1e6:8.1f} us  p99 {worst * 1e6:8.1f} us")


def all_resident(parallel: int = 0) -> Machine:
    known = machine(swap=False, parallel=parallel)
    for name in THOUSAND:
        obey(known, Arrived(next(requests), name), 0.0)
    return known


def one_of_many_pairs() -> Machine:
    pairs = zip(THOUSAND[::2], THOUSAND[1::2], strict=True)
    whole = Either(tuple(Every((One(left), One(right))) for left, right in pairs))
    policy = MatrixPolicy(THOUSAND, Matrix((NamedSet("pairs", "", whole),)))
    return Machine({name: ModelRules() for name in THOUSAND}, policy, QueueRules(max_queue=0))


def all_waiting(known: Machine) -> Machine:
    for name in THOUSAND:
        obey(known, Arrived(next(requests), name), 0.0)
    return known


def in_and_out(name: str, times: int) -> Iterable[Fact]:
    for _ in range(times):
        request = next(requests)
        yield Arrived(request, name)
        yield Departed(request)


def main() -> None:
    one = machine(swap=True)
    obey(one, Arrived(next(requests), "m0"), 0.0)
    show("1 resident, nobody waits: come and go", one, in_and_out("m0", 2000), 1.0)
    show("1000 resident: come and go", all_resident(), in_and_out("m7", 2000), 1.0)

    busy = all_waiting(all_resident(parallel=1))
    show("1000 resident, each with one in line: come and go", busy, in_and_out("m7", 500), 1.0)

    cold = all_waiting(machine(swap=True))
    show("1 resident, 999 wait for it: come and go at it", cold, in_and_out("m0", 500), 1.0)
    show("... and cold ones come and go", cold, in_and_out("m999", 500), 1.0)
    show("... and everything is looked at again", cold, [Ticked()] * 200, 1.0)
    show("... and again, all past maxWait", cold, [Ticked()] * 200, 100.0)
    start = time.perf_counter()
    cold.explain("m500", 100.0)
    print(f"... and one of them is explained: {(time.perf_counter() - start) * 1e3:.1f} ms")

    pairs = all_waiting(one_of_many_pairs())
    show("the same under a matrix of 500 pairs: come and go", pairs, in_and_out("m1", 500), 1.0)
    show("... and everything is looked at again", pairs, [Ticked()] * 200, 1.0)
    show("... and again, all past maxWait", pairs, [Ticked()] * 200, 100.0)

    for callers in (1, 10_000):
        long = machine(swap=True)
        obey(long, Arrived(next(requests), "m0"), 0.0)
        line = [Arrived(next(requests), "m1", caller=str(n % callers)) for n in range(10_000)]
        show(f"10000 of {callers} callers come to one line", long, line, 1.0)
        show("... and leave it from the front", long, [Departed(a.request) for a in line], 2.0)


if __name__ == "__main__":
    main()

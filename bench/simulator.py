"""How long a simulation takes: python bench/simulator.py [REQUESTS [MACHINE]]

A million requests over a thousand models (wanted: under 60 s on one core), on machines of several kinds: everything fits, one model at a
time, the same with the usual limits on the queue (most are then refused), and a matrix of pairs. MACHINE is the beginning of a name.
"""

from __future__ import annotations

import json
import sys
import time
from random import Random

from corral.config.document import Source
from corral.config.load import load
from corral.simulator.generators import Demand, generate
from corral.simulator.report import report
from corral.simulator.run import simulate
from corral.simulator.times import Pace, Times

THOUSAND = [f"m{n}" for n in range(1000)]
PLENTY = {"routing": {"scheduler": {"settings": {"fair": {"maxQueue": 0, "queueTimeout": 0}}}}}
NEIGHBOURS = " | ".join(f"({a} & {b})" for a, b in zip(THOUSAND[::2], THOUSAND[1::2], strict=True))
MACHINES = {
    "everything fits": {"groups": {"all": {"swap": False, "members": THOUSAND}}},
    "one at a time": {},
    "one at a time, bounded queue": {"routing": {}},
    "a matrix of pairs": {"matrix": {"sets": {"pairs": NEIGHBOURS}}},
}


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    times = Times(Pace())
    models = {name: {"cmd": "engine --port ${PORT}"} for name in THOUSAND}
    for shape in ("steady", "bursty"):
        demand = Demand(THOUSAND, requests, rate=5.0, callers=50)
        start = time.perf_counter()
        trace = generate(shape, demand, times, Random(1).random)
        print(f"{shape}: made in {time.perf_counter() - start:.1f} s")
        for name in filter(lambda name: name.startswith(wanted), MACHINES):
            machine = MACHINES[name]
            config = load(
                [Source("bench", json.dumps({"models": models, **PLENTY, **machine}))], {}
            )
            start = time.perf_counter()
            run = simulate(config, trace, times)
            played = time.perf_counter() - start
            known = report(run, trace)
            spent = time.perf_counter() - start
            print(
                f"  {name:30} {spent:6.1f} s, {requests / played:8.0f} requests/s; "
                f"{known.swaps} swaps, {known.total.served} served, longest wait "
                f"{known.total.waits.most if known.total.waits else 0:.0f} s"
            )


if __name__ == "__main__":
    main()

"""What keeping books of requests costs a warm one: activity, captures and metrics, on and off in the same run.

    python bench/books.py [--rounds 12] [--seconds 1]

Every round measures every corral once, in turn, so that a noisy minute hits all alike; medians are printed: requests per second, what is
left of those of the corral that keeps no books at all, and the processor's time for a request, which a busy machine disturbs less.
`warm.py` says how requests per second are measured.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import uvloop

from corral.app import collect_rarely, opened
from corral.config.load import Source
from corral.config.load import load as read
from corral.gateway.activity import Activity
from corral.server.app import App
from corral.server.listen import Server, bind
from load import load
from static import child, free_port, running, wait_for

CONFIG = """
models:
  m: {{cmd: "sleep 86400", proxy: "{upstream}", checkEndpoint: none}}
logLevel: error
captureBuffer: {captures}
"""
KEEPS = {
    "nothing": lambda _: False,
    "activity": lambda observer: isinstance(observer, Activity),
    "activity and captures": lambda observer: isinstance(observer, Activity),
    "everything": lambda _: True,
}
"""Which observers of the ledger stay."""


async def serve(keeps: str, port: int, upstream: str) -> None:
    text = CONFIG.format(upstream=upstream, captures=0 if keeps == "activity" else 5)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as scope:
        config = read([Source("config.yaml", text)], {})
        async with opened(config, Path(folder) / "config.yaml") as gateway:
            app, observers = App(gateway), gateway.ledger.observers
            observers[:] = [one for one in observers if KEEPS[keeps](one)]
            collect_rarely()
            sockets = [scope.enter_context(one) for one in bind("127.0.0.1", port)]
            await Server(app, None, lambda: None).serve(sockets)


@dataclass(frozen=True)
class Taken:
    """`cost` is microseconds of processor for a request, all threads."""

    rate: float
    cost: float
    errors: int


def measure(
    corrals: dict[str, tuple[int, psutil.Process]], rounds: int, seconds: float
) -> dict[str, list[Taken]]:
    taken: dict[str, list[Taken]] = {name: [] for name in corrals}
    for port, _ in corrals.values():
        load(port, connections=8, seconds=1)  # warm up
    order = list(corrals.items())
    for _ in range(rounds):
        order.append(order.pop(0))  # nobody always comes after the same one
        for name, (port, process) in order:
            before = sum(process.cpu_times()[:2])
            figures = load(port, connections=32, seconds=seconds)
            used = sum(process.cpu_times()[:2]) - before
            cost = 1e6 * used / (figures.rate * max(1, round(seconds)))
            taken[name].append(Taken(figures.rate, cost, figures.errors))
    return taken


def report(taken: dict[str, list[Taken]]) -> None:
    print(f"{'':22} {'req/s (32)':>11} {'min-max':>15} {'left':>6} {'CPU us':>7} {'errors':>7}")
    bare = taken["nothing"]
    for name, rounds in taken.items():
        rates = [one.rate for one in rounds]
        left = median(one.rate / other.rate for one, other in zip(rounds, bare, strict=True))
        print(
            f"{name:22} {median(rates):11.0f} {min(rates):7.0f}-{max(rates):7.0f} "
            f"{left:6.2f} {median(one.cost for one in rounds):7.1f} {sum(one.errors for one in rounds):7}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--serve", nargs=3, metavar=("KEEPS", "PORT", "UPSTREAM"))
    given = parser.parse_args()
    if given.serve:
        keeps, port, upstream = given.serve
        uvloop.run(serve(keeps, int(port), upstream))
        return
    with running() as (static, _), contextlib.ExitStack() as scope:
        corrals = {}
        for name in KEEPS:
            argv = (
                sys.executable,
                __file__,
                "--serve",
                name,
                free_port(),
                f"http://127.0.0.1:{static}",
            )
            process = scope.enter_context(child(*argv))
            corrals[name] = argv[4], psutil.Process(process.pid)
            wait_for(argv[4])
        report(measure(corrals, given.rounds, given.seconds))


if __name__ == "__main__":
    main()

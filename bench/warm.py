"""How much a warm request costs: requests per second at 32 connections and p50 at 1, against the bare engine and nginx.

    python bench/warm.py [--rounds 5] [--seconds 3] [--app "COMMAND with {port} and {upstream}"]

Every round measures everything once, in turn, so that a noisy minute hits all alike; medians are printed.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from pathlib import Path

from load import Figures, load
from static import child, free_port, running, wait_for

MINIMAL = f"{shlex.quote(sys.executable)} -P {shlex.quote(str(Path(__file__).with_name('minimal.py')))} {{port}} {{upstream}}"


def measure(
    ports: dict[str, int], rounds: int, seconds: float
) -> dict[str, list[tuple[Figures, Figures]]]:
    """Per name and round: the figures at 32 connections, and at 1."""
    taken: dict[str, list[tuple[Figures, Figures]]] = {name: [] for name in ports}
    for port in ports.values():
        load(port, connections=8, seconds=1)  # warm up
    for _ in range(rounds):
        for name, port in ports.items():
            taken[name].append(
                (
                    load(port, connections=32, seconds=seconds),
                    load(port, connections=1, seconds=seconds),
                )
            )
    return taken


def report(taken: dict[str, list[tuple[Figures, Figures]]]) -> None:
    print(
        f"{'':12} {'req/s (32)':>11} {'min-max':>15} {'p50 (1) us':>11} {'of direct':>10} {'errors':>7}"
    )
    direct = statistics.median(many.rate for many, _ in taken["direct"])
    for name, rounds in taken.items():
        rates = [many.rate for many, _ in rounds]
        p50 = statistics.median(one.p50 for _, one in rounds)
        errors = sum(many.errors + one.errors for many, one in rounds)
        rate = statistics.median(rates)
        print(
            f"{name:12} {rate:11.0f} {min(rates):7.0f}-{max(rates):7.0f} {p50:11.0f} {rate / direct:10.2f} {errors:7}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--app", default=MINIMAL)
    given = parser.parse_args()
    port = free_port()
    with running() as (static, proxy):
        command = given.app.format(port=port, upstream=f"http://127.0.0.1:{static}")
        with child(*shlex.split(command)):
            wait_for(port)
            ports = {"direct": static, "corral": port} | ({"nginx": proxy} if proxy else {})
            report(measure(ports, given.rounds, given.seconds))


if __name__ == "__main__":
    main()

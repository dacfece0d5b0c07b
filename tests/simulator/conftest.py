"""What a simulation is made of: configurations in a word, traces in a line."""

from __future__ import annotations

import json

import pytest

from corral.config.document import Source
from corral.config.load import load
from corral.simulator.report import report
from corral.simulator.run import simulate
from corral.simulator.times import Pace, Times
from corral.simulator.trace import Trace


class Bench:
    """`bench.config("abc", fair={"maxWait": 5})`, `bench.trace((0, "a"), (1, "b", "eve", 2.5))`."""

    @staticmethod
    def config(models="abc", use="fair", settings=None, model=None, **top):
        each = {"cmd": "engine --port ${PORT}", **(model or {})}
        scheduler = {"use": use, "settings": {use: settings or {}}}
        written = {
            "models": dict.fromkeys(models, each),
            "routing": {"scheduler": scheduler},
            **top,
        }
        return load([Source("config.yaml", json.dumps(written))], {})

    @staticmethod
    def trace(*rows):
        return Trace.of((*row, *("anybody", 1.0)[len(row) - 2 :]) for row in rows)

    @staticmethod
    def play(config, trace, load=10.0, stop=1.0, **models):
        """The run and its report."""
        times = Times(Pace(load, stop, 1.0), models)
        run = simulate(config, trace, times)
        return run, report(run, trace)


@pytest.fixture(scope="session")
def bench():
    return Bench()

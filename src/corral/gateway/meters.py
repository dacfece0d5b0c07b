"""What corral counts: requests as they end, models as they come and go. A ledger's observer and an engine's listener.

1. A request costs a dictionary look-up and a few additions. All that can be asked of the scheduler or of the ledger is asked when somebody
   scrapes, and text is made only then.
2. Nothing that a client sends becomes a label: models that are not configured are `(none)`, paths that are no route `other`.
3. A series stays for as long as corral runs, also when its model is removed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from corral.config.model import Config
from corral.dialects.endpoints import ENDPOINTS
from corral.dialects.usage import Usage
from corral.errors import LoadFailed
from corral.gateway import metrics
from corral.gateway.engine import Engine
from corral.gateway.exchange import LEFT, Exchange, Ledger
from corral.gateway.inforce import InForce
from corral.gateway.metrics import Family, Metric, Spread
from corral.scheduler.adoption import CHANGED, REMOVED
from corral.scheduler.events import (
    Arrived,
    Checked,
    Departed,
    Exited,
    Fact,
    Order,
    Ready,
    Start,
    Stop,
)
from corral.scheduler.machine import ASKED

NOBODY: Final = "(none)"
"""The model of a request that named none that there is."""
OTHER: Final = "other"
"""The route of a request to `/upstream/M/...` with a path that is no route of its own."""

SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
LOAD_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
SPEEDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0)
PROMPT_SPEEDS: Final = (10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2500.0, 5e3, 1e4, 2.5e4)

REASONS: Final = (
    ("idle for", "ttl"),
    (ASKED, "unload"),
    (REMOVED, "reload"),
    (CHANGED, "reload"),
    ("shutting down", "shutdown"),
)
"""How the scheduler begins its reason for a stop that makes room for nobody, and what is counted."""

_ROUTES: Final = {
    row.path: f"/v1/{row.path.removeprefix('/v/')}" if row.path.startswith("/v/") else row.path
    for row in ENDPOINTS
}
"""A route with and without its version is one."""

Phase = Literal["loading", "ready", "stopping"]


class Histogram:
    """How many values fell between which bounds."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def __bool__(self) -> bool:
        return any(self._counts)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def spread(self) -> Spread:
        """As it is now."""
        return Spread(self._bounds, tuple(self._counts), self._total)


class _Series:
    """The requests for one model on one route."""

    __slots__ = (
        "cached",
        "cut",
        "duration",
        "first",
        "given",
        "made",
        "prompt",
        "queue",
        "speed",
        "statuses",
    )

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.cut = self.given = self.cached = self.made = 0
        self.duration, self.first, self.queue = (Histogram(SECONDS) for _ in range(3))
        self.prompt, self.speed = Histogram(PROMPT_SPEEDS), Histogram(SPEEDS)

    def add(self, exchange: Exchange) -> None:
        status, began, usage = exchange.status or LEFT, exchange.began_at, exchange.usage
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.duration.add((exchange.ended_at or began) - began)
        if exchange.first_byte_at is not None:
            self.first.add(exchange.first_byte_at - began)
        if exchange.answer_headers:  # of an engine: it was admitted
            self.queue.add(exchange.queue_ms / 1000)
            if exchange.error and status < 400:
                self.cut += 1
        if usage is not None:
            self._use(usage)

    def _use(self, usage: Usage) -> None:
        """What is not known is negative."""
        if usage.input_tokens > 0:
            self.given += usage.input_tokens
        if usage.cache_tokens > 0:
            self.cached += usage.cache_tokens
        if usage.output_tokens > 0:
            self.made += usage.output_tokens
        if usage.prompt_per_second > 0:
            self.prompt.add(usage.prompt_per_second)
        if usage.tokens_per_second > 0:
            self.speed.add(usage.tokens_per_second)


_HISTOGRAMS: Final = (
    (metrics.DURATION, "duration"),
    (metrics.FIRST_BYTE, "first"),
    (metrics.QUEUE_WAIT, "queue"),
    (metrics.PROMPT_SPEED, "prompt"),
    (metrics.SPEED, "speed"),
)
_COUNTERS: Final = (
    (metrics.CUT, "cut"),
    (metrics.TOKENS_IN, "given"),
    (metrics.TOKENS_CACHED, "cached"),
    (metrics.TOKENS_OUT, "made"),
)


class Meters:
    """Counts from the moment it is made."""

    def __init__(self, inforce: InForce, engine: Engine, ledger: Ledger) -> None:
        self._engine = engine
        self._ledger = ledger
        self._series: dict[tuple[str, str], _Series] = {}
        self._by_label: dict[tuple[str, str], _Series] = {}
        self._phases: dict[str, Phase] = {}
        self._loads: Counter[tuple[str, str]] = Counter()
        self._load_times: dict[str, Histogram] = {}
        self._evictions: Counter[tuple[str, str]] = Counter()
        inforce.watch(self._adopt)
        ledger.observers.append(self)
        engine.listeners.append(self._heard)

    def __repr__(self) -> str:
        return f"<Meters: {len(self._by_label)} models and routes>"

    def _adopt(self, config: Config) -> None:
        self._makes_room = "matrix" if config.matrix is not None else "group"
        self._elsewhere = {f"{peer}/{m}" for peer, row in config.peers.items() for m in row.models}
        self._known = self._elsewhere | config.models.keys()
        # Whatever was counted as nobody's may be somebody's now.
        self._series = {key: one for key, one in self._series.items() if key[0] in self._known}

    # --- requests ----------------------------------------------------------------------------------------------------

    def opened(self, exchange: Exchange) -> None:
        pass

    def answered(self, exchange: Exchange) -> None:
        pass

    def closed(self, exchange: Exchange) -> None:
        endpoint = exchange.endpoint
        path = endpoint.path if endpoint else OTHER
        series = self._series.get((exchange.model, path))
        (series or self._new_series(exchange.model, path)).add(exchange)

    def _new_series(self, model: str, path: str) -> _Series:
        label = (model if model in self._known else NOBODY, _ROUTES.get(path, OTHER))
        series = self._by_label.setdefault(label, _Series())
        if label[0] == model or not model:  # what anybody may send is not kept
            self._series[model, path] = series
        return series

    # --- models ------------------------------------------------------------------------------------------------------

    def _heard(self, fact: Fact, orders: Sequence[Order]) -> None:
        kind = type(fact)
        if kind is not Arrived and kind is not Departed:
            self._note(fact)
        for order in orders:
            if type(order) is Start:
                self._phases[order.model] = "loading"
            elif type(order) is Stop:
                self._leaves(order)

    def _note(self, fact: Fact) -> None:
        match fact:
            case Ready(model) if self._phases.get(model) == "loading":
                self._became_ready(model)
            case Exited(model, reason):
                self._ended(model, reason)
            case Checked(model, LoadFailed()):
                self._loads[model, "failed"] += 1

    def _became_ready(self, model: str) -> None:
        self._phases[model] = "ready"
        self._loads[model, "ready"] += 1
        times = self._load_times.setdefault(model, Histogram(LOAD_SECONDS))
        times.add(self._engine.machine.load_seconds(model) or 0.0)

    def _ended(self, model: str, reason: LoadFailed | None) -> None:
        phase = self._phases.pop(model, None)
        if phase == "ready":
            self._evictions[model, "crash"] += 1
        elif phase == "loading":
            self._loads[model, "failed" if reason else "stopped"] += 1

    def _leaves(self, stop: Stop) -> None:
        phase, self._phases[stop.model] = self._phases.get(stop.model), "stopping"
        if phase == "ready":
            self._evictions[stop.model, self._reason(stop)] += 1
        elif phase == "loading":
            self._loads[stop.model, "stopped"] += 1

    def _reason(self, stop: Stop) -> str:
        if stop.target:
            return self._makes_room
        found = (reason for begin, reason in REASONS if stop.why.startswith(begin))
        return next(found, "other")

    # --- for a scrape ------------------------------------------------------------------------------------------------

    def families(self) -> Iterator[Family]:
        """All of it, now."""
        yield from self._requests()
        yield from self._models()
        yield metrics.LOADS, list(self._loads.items())
        times = self._load_times.items()
        yield metrics.LOAD_TIME, [((model,), one.spread()) for model, one in times]
        yield metrics.EVICTIONS, list(self._evictions.items())

    def _requests(self) -> Iterator[Family]:
        every = self._by_label.items()
        yield (
            metrics.REQUESTS,
            [((*at, str(n)), count) for at, one in every for n, count in one.statuses.items()],
        )
        for metric, name in _COUNTERS:
            yield metric, [(at, getattr(one, name)) for at, one in every]
        for metric, name in _HISTOGRAMS:
            found = ((at, getattr(one, name)) for at, one in every)
            yield metric, [(at, histogram.spread()) for at, histogram in found if histogram]

    def _models(self) -> Iterator[Family]:
        machine = self._engine.machine
        here, away = machine.models, Counter(e.model for e in self._ledger.in_flight.values())
        serving = [(m, machine.in_flight(m)) for m in here]
        serving += [(m, away[m]) for m in sorted(self._elsewhere)]
        yield _gauge(metrics.IN_FLIGHT, serving)
        yield _gauge(metrics.QUEUE, [(m, machine.waiting(m)) for m in here])
        yield _gauge(metrics.RESIDENT, [(m, m in self._phases) for m in here])


def _gauge(metric: Metric, values: list[tuple[str, int]]) -> Family:
    return metric, [((model,), value) for model, value in values]

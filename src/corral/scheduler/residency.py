"""What a model is doing, and what moves it. The table is the law: `MOVES` has every move there is.

A process reports only that it is ready or gone; what that means depends on the state it arrives in. *Gone* is a failed load while
loading, a finished stop while unloading, a crash while ready. A report that the table does not know in a state is late, and ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from corral.errors import LoadFailed
from corral.scheduler.policy import Verdict
from corral.scheduler.queues import Line, QueueRules, Waiter


class State(StrEnum):
    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    UNLOADING = "unloading"


class Move(StrEnum):
    START = "Start"
    STOP = "Stop"
    READY = "Ready"
    EXITED = "Exited"
    DRAIN = "drain"
    SPARE = "spare"


MOVES = {
    (State.UNLOADED, Move.START): State.LOADING,
    (State.LOADING, Move.READY): State.READY,
    (State.LOADING, Move.EXITED): State.UNLOADED,
    (State.LOADING, Move.STOP): State.UNLOADING,
    (State.READY, Move.DRAIN): State.DRAINING,
    (State.READY, Move.STOP): State.UNLOADING,
    (State.READY, Move.EXITED): State.UNLOADED,
    (State.DRAINING, Move.SPARE): State.READY,  # whoever it made room for has left
    (State.DRAINING, Move.STOP): State.UNLOADING,
    (State.DRAINING, Move.EXITED): State.UNLOADED,
    (State.UNLOADING, Move.STOP): State.UNLOADING,  # again, with less grace
    (State.UNLOADING, Move.EXITED): State.UNLOADED,
}


class Checked(StrEnum):
    """Whether this machine could start the model, as far as is known for the load that is wanted now."""

    UNKNOWN = "unknown"
    ASKED = "asked"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class ModelRules:
    """What one model may do. Seconds; 0 means: never (`ttl`), no limit (`parallel`, `concurrency_limit`). ValueError for negative
    numbers: with less than no room for a request, those who wait would wait for ever."""

    ttl: float = 0.0
    parallel: int = 0
    concurrency_limit: int = 0
    unload_timeout: float = 10.0
    persist: bool = False
    backoff: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 60.0)
    """How long newcomers are refused after the 1st, 2nd, ... failed load in a row; the last repeats."""
    together: tuple[str, ...] = ()
    """The models that are started with this one."""
    learns: bool = False
    """What it costs to evict it is what its loads take, not a number that somebody wrote."""

    def __post_init__(self) -> None:
        if min(self.ttl, self.parallel, self.concurrency_limit, self.unload_timeout) < 0:
            raise ValueError(f"negative: {self}")


@dataclass(slots=True, eq=False)
class Resident:
    """One model: its process as far as was reported, who uses it, who waits for it."""

    model: str
    rules: ModelRules
    priority: int = 0
    state: State = State.UNLOADED
    since: float = 0.0
    """When `state` began."""
    ready_since: float | None = None
    idle_since: float = 0.0
    served: dict[int, float | None] = field(default_factory=dict)
    """Requests in flight, and when each was admitted; None for load calls, which use nothing."""
    line: Line = field(default_factory=Line)
    wanted: Waiter | None = None
    """The request for a companion with which this model is to be started, though nobody waits for it."""
    checked: Checked = Checked.UNKNOWN
    gone_by: float | None = None
    """It was told to leave: when its process must be told to stop, drained or not; infinity: when it has drained."""
    leaves: str = ""
    """Why, for people."""
    removed: bool = False
    """It is not in the configuration any more, and forgotten when it is gone."""
    turn_first: int = 0
    turn_last: int = 0
    """The arrivals for whom it was loaded: the head of its line when it became ready, and the last arrival of all by then."""
    failure: LoadFailed | None = None
    failures: int = 0
    retry_at: float = 0.0
    load_seconds: float | None = None
    """How long its last load took."""
    usual_load: float | None = None
    """How long its loads have lately taken."""
    serve_seconds: float | None = None
    """How long its requests have lately taken."""
    judged_for: frozenset[str] | None = None
    """The residents that `verdict` was given for."""
    verdict: Verdict = field(default_factory=Verdict)
    listed: int = 0
    """The number of `line.oldest` under which it stands in `board.py`; 0: it does not."""
    _loaded_for: float = 0.0

    def __repr__(self) -> str:
        return (
            f"<{self.model} {self.state}, {len(self.served)} in flight, {len(self.line)} waiting>"
        )

    def can(self, move: Move) -> bool:
        return (self.state, move) in MOVES

    def move(self, move: Move, now: float) -> None:
        """Take a move of the table; KeyError when there is none."""
        state = MOVES[self.state, move]
        if self.state is State.LOADING:
            self._loaded_for += now - self.since
        if state is not self.state:
            self.state, self.since = state, now

    @property
    def first(self) -> Waiter | None:
        """Who has wanted it longest: the oldest in line, or the request of a companion."""
        return self.line.oldest or self.wanted

    def pressing(self, queue: QueueRules, now: float) -> Waiter | None:
        """For whose sake others have to give way: its oldest request, if that has waited `maxWait`; else one that is urgent."""
        oldest = self.line.oldest
        return oldest if oldest and now >= queue.ages_at(oldest) else self.line.urgent

    def turn_of(self, waiter: Waiter) -> int:
        """Whose turn `waiter`, in its line, has: the number of the request for which it was loaded, if `waiter` was in line when it
        became ready; else its own."""
        in_use = self.state is State.READY or self.state is State.DRAINING
        return self.turn_first if in_use and waiter.number <= self.turn_last else waiter.number

    @property
    def free(self) -> bool:
        """One more request may be admitted, as far as `parallel` goes."""
        return not self.rules.parallel or len(self.served) < self.rules.parallel

    @property
    def idle(self) -> bool:
        """Stopping it would disturb nobody: it serves nobody and nobody waits for its load, or it is being stopped already."""
        if self.state is State.READY:
            return not self.served
        return self.state is State.UNLOADING or (self.state is State.LOADING and not self.line)

    @property
    def claims(self) -> bool:
        """It may have room made for it; on its way out, it has to be gone first."""
        return self.state is not State.DRAINING and self.state is not State.UNLOADING

    @property
    def seeks_room(self) -> bool:
        """Somebody waits for it and it has no process: one of possibly many that all want the same."""
        return self.state is State.UNLOADED and self.line.oldest is not None

    @property
    def learned_cost(self) -> int | None:
        """What evicting it costs; None when somebody wrote a number, or nothing is known yet."""
        if not self.rules.learns or self.usual_load is None:
            return None
        return max(1, round(self.usual_load))

    def fresh_until(self, queue: QueueRules) -> float:
        """Until when `minResidency` keeps it, from requests that have not waited `maxWait`."""
        if self.ready_since is None or queue.use != "fair":
            return -math.inf
        return self.ready_since + queue.min_residency

    def loading_clock(self, now: float) -> float:
        """Seconds it has ever been loading."""
        running = now - self.since if self.state is State.LOADING else 0.0
        return self._loaded_for + running

    def ttl_deadline(self) -> float | None:
        """When it will have been idle for its `ttl`; None when it never will, or is in use."""
        rules = self.rules
        if self.state is not State.READY or not rules.ttl or rules.persist:
            return None
        return None if self.served or self.line else self.idle_since + rules.ttl

    def refuses_at(self, waiter: Waiter, queue: QueueRules) -> float | None:
        """When `waiter`, in its line, will have waited `queueTimeout` for room."""
        if self.state is State.LOADING or not queue.queue_timeout:
            return None
        return waiter.arrived + queue.queue_timeout + self._loaded_for - waiter.loading

    def next_look(self, now: float, queue: QueueRules) -> float | None:
        """The next time at which its clock alone changes something."""
        times = [self.ttl_deadline(), self.gone_by]
        if oldest := self.line.oldest:
            ages = queue.ages_at(oldest)
            times += [self.refuses_at(oldest, queue), ages if now < ages < math.inf else None]
        if queue.min_residency and now < (fresh := self.fresh_until(queue)):
            times.append(fresh)
        return min((t for t in times if t is not None and t < math.inf), default=None)

    def copy(self) -> Resident:
        """The same model in the same state, which goes its own way from here."""
        return replace(self, served=dict(self.served), line=self.line.copy(), listed=0)

"""What the scheduler is told and what it answers: facts in the past tense, orders in the imperative.

A request is an opaque hashable number that the gateway makes; a model is its real id (never an alias). Times are seconds on one
monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corral.errors import CorralError, LoadFailed
from corral.scheduler.policy import Policy
from corral.scheduler.queues import QueueRules
from corral.scheduler.residency import ModelRules

# --- facts ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request wants `model`. `explicit` (a load call) ends a back-off; such a request departs as soon as it is admitted. Requests of
    one `caller` (its key, else its address) are served in order, and callers take turns. One that is `urgent` (a switch) counts as having
    waited `maxWait` already, also under `fifo`; for it nobody stops before everyone in its way has drained."""

    request: int
    model: str
    explicit: bool = False
    caller: str = ""
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Departed:
    """A request is over: served, failed, or its client left (also while waiting)."""

    request: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to `Check`: None, or why this model could not start on this machine now."""

    model: str
    problem: LoadFailed | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The model's process answers its health check."""

    model: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The model's process is gone. While loading: a failed load; while unloading: a finished stop; while ready: a crash."""

    model: str
    reason: LoadFailed | None = None


@dataclass(frozen=True, slots=True)
class AskedUnload:
    """Someone wants these models gone: drained first, or at once with `force`."""

    models: tuple[str, ...]
    force: bool = False


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration was replaced by one with these rules for all its models. Models that are not in it are gone as soon as they have
    finished what they serve; the `restarted` ones, too, are started anew for the next who wants them; of the `rechecked` ones those that
    are loading. The answer to a `Check` that was asked before is not wanted any more."""

    models: Mapping[str, ModelRules]
    policy: Policy
    queue: QueueRules
    restarted: frozenset[str] = frozenset()
    rechecked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Closing:
    """Corral is shutting down: refuse who waits and who comes, let what is in flight finish until `Closed`."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The drain's time is up: stop every process now."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """The time of an earlier `Wake` has come."""


Fact = (
    Arrived
    | Departed
    | Checked
    | Ready
    | Exited
    | AskedUnload
    | Reloaded
    | Closing
    | Closed
    | Ticked
)

# --- orders --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """Find out whether the model could start on this machine (program and files are there); answer with `Checked`."""

    model: str


@dataclass(frozen=True, slots=True)
class Start:
    """Launch the model's process; report `Ready` or `Exited`."""

    model: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Terminate the model's process, kill it after `grace` seconds; report `Exited`. `why` is for people, `target` the model that it
    makes room for, if it does."""

    model: str
    grace: float
    why: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Admit:
    """The request may use its model until it departs."""

    request: int


@dataclass(frozen=True, slots=True)
class Reject:
    """The request is refused, for good."""

    request: int
    error: CorralError


@dataclass(frozen=True, slots=True)
class Wake:
    """Send `Ticked` at this time (replaces an earlier `Wake`); None: no need."""

    at: float | None


Order = Check | Start | Stop | Admit | Reject | Wake

"""Where a model's name leads: the active profile, then selectors, then the names of the configuration.

1. A profile's pin replaces a name once; what it leads to is not looked up as a pin again.
2. A choice holds until its block ends: that long its target counts as busy for the selector that made it.
3. The active profile is kept across a reload while it is still configured; it is nobody's after a restart. The active model, too; a
   reload that names another one (`switching.active`) makes that the active one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from corral.config.catalog import Target, longest_run, most_segments
from corral.config.keeping import ACTIVE
from corral.config.model import Config
from corral.config.virtual import Selector
from corral.errors import InvalidRequest, ModelNotFound, ProfileNotFound
from corral.gateway.inforce import InForce
from corral.gateway.ports import Peers
from corral.scheduler.residency import State
from corral.scheduler.selectors import Candidate, ranked

Listener = Callable[[str | None], None]


class Choice:
    """The targets for one request, best first: `with choice: for target in choice: ...`.

    Whoever iterates goes on to the next target only when the last one turned out to be down. `selector` is empty where nothing was chosen.
    """

    __slots__ = ("_busy", "_held", "_targets", "selector")

    def __init__(self, targets: tuple[Target, ...], selector: str, busy: Counter[str]) -> None:
        self._targets = targets
        self._busy = busy
        self._held = ""
        self.selector = selector

    def __repr__(self) -> str:
        names = ", ".join(target.name for target in self._targets)
        return f"<Choice {self.selector and self.selector + ': '}{names}>"

    @property
    def first(self) -> Target:
        return self._targets[0]

    @property
    def last(self) -> Target:
        return self._targets[-1]

    def __iter__(self) -> Iterator[Target]:
        for target in self._targets:
            self._hold(target.name)
            yield target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hold("")

    def _hold(self, name: str) -> None:
        if not self.selector:
            return
        if self._held:
            self._busy[self._held] -= 1
        if name:
            self._busy[name] += 1
        self._held = name


class Routing:
    """`state` tells what a local model is doing, `last_used` which one a request was last admitted to."""

    def __init__(
        self,
        inforce: InForce,
        peers: Peers,
        state: Callable[[str], State],
        last_used: Callable[[], str | None],
    ) -> None:
        self._inforce = inforce
        self._peers = peers
        self._state = state
        self._last_used = last_used
        self._busy: dict[str, Counter[str]] = {}
        self._turns: Counter[str] = Counter()
        self._nobody: Counter[str] = Counter()
        self._switched_to: str | None = None
        self._configured: str | None = None
        self._certain = asyncio.Event()
        self._certain.set()
        self.active: str | None = None
        """The profile that is active."""
        self.listeners: list[Listener] = []
        """Who wants to know of another active profile."""
        inforce.watch(self._keep)

    def __repr__(self) -> str:
        return f"<Routing by {self._inforce.catalog!r}, profile {self.active}>"

    # --- profiles ----------------------------------------------------------------------------------------------------

    def activate(self, name: str | None) -> None:
        """Make this profile the active one; None: none is. Raises ProfileNotFound."""
        if name is not None and name not in self._inforce.config.profiles:
            raise ProfileNotFound(f"no profile is called `{name}`; GET /api/profiles lists them")
        if name != self.active:
            self.active = name
            for listener in self.listeners:
                listener(name)

    def _keep(self, config: Config) -> None:
        if self.active not in config.profiles:
            self.activate(None)
        if config.switching.active != self._configured:
            self._configured = config.switching.active
            self._switched_to = self._configured or self._switched_to
        if self._switched_to not in config.models:
            self._switched_to = None

    @property
    def pins(self) -> Mapping[str, str]:
        """The active profile's: name → what it stands for, empty where it is off."""
        return self._inforce.config.profiles[self.active].pins if self.active else {}

    def _pinned(self, name: str) -> str:
        target = self.pins.get(name, name)
        if not target:
            raise ModelNotFound(f"`{name}` is off while the profile `{self.active}` is active")
        return target

    # --- names -------------------------------------------------------------------------------------------------------

    def choose(self, name: str) -> Choice:
        """The targets behind a name that a client used. Raises ModelNotFound."""
        if self.active:
            name = self._pinned(name)
        catalog = self._inforce.catalog
        selector = catalog.selector(name)
        if selector is not None:
            return self._selected(name, selector)
        if name == ACTIVE and name not in catalog:
            name = self._active()
        return Choice((catalog.target(name),), "", self._nobody)

    def local(self, name: str) -> str:
        """The real id of the model of this machine behind a name. Raises ModelNotFound, and InvalidRequest for a peer's."""
        target = self.choose(name).first
        if target.peer:
            raise InvalidRequest(f"`{name}` is a model of the peer `{target.peer}`")
        return target.model

    def split(self, path: str) -> tuple[Target, str] | None:
        """The target that the longest run of leading segments of `path` names, and the rest; as `Catalog.longest_prefix`. No selectors."""
        pinned = longest_run(path, self.pins, most_segments(self.pins))
        if pinned is None:
            return self._inforce.catalog.longest_prefix(path)
        name, rest = pinned
        return self._inforce.catalog.target(self._pinned(name)), rest

    # --- the active model --------------------------------------------------------------------------------------------

    @property
    def active_model(self) -> str | None:
        """What `active` stands for: the model last switched to (`switching.active` is, at start), else the one last used; None: there is
        none."""
        return self._switched_to or self._last_used()

    def _active(self) -> str:
        if self.active_model is None:
            raise ModelNotFound("no model is active: none has been used yet; name one")
        return self.active_model

    def undecided(self) -> None:
        """From now on, and until `decide`, a switch is under way: who asks for the active model waits to see which that will be."""
        self._certain.clear()

    def decide(self, model: str | None) -> None:
        """It is over, and `model` the active one; None: whichever was."""
        self._switched_to = model or self._switched_to
        self._certain.set()

    async def certain(self, name: str) -> None:
        """Returns when `choose` can say where `name` leads; at once, but for `active` during a switch."""
        while not self._certain.is_set() and self.pins.get(name, name) == ACTIVE:
            await self._certain.wait()

    # --- selectors ---------------------------------------------------------------------------------------------------

    def _selected(self, name: str, selector: Selector) -> Choice:
        busy = self._busy.setdefault(name, Counter())
        targets = [self._inforce.catalog.target(target) for target in selector.targets]
        candidates = [self._candidate(target, busy) for target in targets]
        turn = self._turns[name]
        self._turns[name] += 1
        order = ranked(selector.strategy, candidates, limit=selector.spillover, turn=turn)
        return Choice(tuple(targets[i] for i in order), name, busy)

    def _candidate(self, target: Target, busy: Counter[str]) -> Candidate:
        reserved = busy[target.name]
        if target.peer:
            return Candidate(None, reserved, self._peers.available(target.peer))
        return Candidate(self._state(target.model), reserved)

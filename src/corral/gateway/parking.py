"""What llama-server has read of a conversation, kept in files while its model is unloaded.

1. A session's turns on one model go to one slot (`id_slot`). A slot that gets another session is saved first; before a model is unloaded
   all are; before a session's turn its file is restored into the slot that it gets. Nobody waits for a slot: who finds none is served
   without.
2. What can be lost is time. Which file belongs to which model is the files' business; that a slot holds what a prompt begins with is
   seen by the engine, token by token. So requests without a session may use the slots too, and whatever fails costs reading the prompt.
3. Restoring that turns out not to help a model is not tried on it for ever (`Files.tried`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from corral.dialects.usage import Usage
from corral.errors import CorralError
from corral.gateway import metrics, slot_calls
from corral.gateway.engine import Engine
from corral.gateway.metrics import Family
from corral.gateway.ports import Upstream
from corral.gateway.seating import Count, Slot, choice, held, reconcile
from corral.gateway.slot_calls import Moved, Trouble

HELPS: Final = 0.1
"""The share of what was restored that must have been reused, or restoring was of no use."""
UNPINNED: Final = frozenset({"anthropic"})
"""APIs of which llama-server drops `id_slot`: where such a turn went is asked for before it matters."""
REUSES: Final = 10_000
"""Sessions whose last reuse is remembered, the latest ones."""

log = logging.getLogger("corral.parking")


class File(Protocol):
    """A saved slot."""

    @property
    def name(self) -> str: ...


class Files(Protocol):
    """Where slots are saved. Nothing here raises, and what is waited for takes a bounded time.

    A place is a model as it is launched now; a mark stands for what only the running engine can tell. Files of another place or mark are
    never found.
    """

    def place(self, model: str) -> Any | None:
        """None: its slots are not to be saved."""
        ...

    def find(self, place: Any, session_id: str, mark: str) -> File | None: ...

    async def usable(self, file: Any) -> bool:
        """Whether it still is what was saved; it counts as used now."""
        ...

    def draft(self, place: Any, session_id: str, mark: str) -> str:
        """The name to save under."""
        ...

    async def keep(self, place: Any, session_id: str, mark: str, size: int) -> int:
        """The draft is complete; bytes that are kept."""
        ...

    def discard(self, place: Any, session_id: str, mark: str) -> None:
        """Nothing comes of the draft."""
        ...

    def drop(self, file: Any) -> None: ...

    def forget(self, session_id: str) -> None: ...

    def parked(self, session_id: str) -> dict[str, int]: ...

    def sizes(self) -> dict[str, int]: ...

    def tried(self, place: Any, *, helped: bool) -> None:
        """Keep in mind whether a restored file was of use."""
        ...


@dataclass(frozen=True, slots=True)
class Reuse:
    """What the last turn on a restored slot did not have to read again."""

    model: str
    tokens: int
    of: int
    """Tokens that were restored."""
    at: float
    """Epoch seconds."""


@dataclass(slots=True)
class _Server:
    """One process of a model."""

    model: str
    upstream: Upstream
    place: Any
    mark: str = ""
    slots: list[Slot] | None = None
    """None: not asked yet. Empty: there is nothing to park."""
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    """Sessions whose slot is being saved, and who are not forgotten meanwhile."""

    @property
    def seated(self) -> int:
        return sum(slot.seated for slot in self.slots or ())


class Seat:
    """A session's place in a model's server, for one turn. Whoever was given one leaves it, however the turn goes."""

    __slots__ = ("_leave", "slot")

    def __init__(self, slot: int, leave: _Leave) -> None:
        self.slot = slot
        """For the request's body: `id_slot`."""
        self._leave: _Leave | None = leave

    def __repr__(self) -> str:
        return f"<Seat {self.slot}: {'taken' if self._leave else 'left'}>"

    def left(self, usage: Usage | None) -> None:
        """The answer is over; None: it was cut off, or never begun. Once more is nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(usage)


class _Leave(Protocol):
    def __call__(self, usage: Usage | None) -> None: ...


class Parking:
    """Seats sessions, and has their slots saved and restored."""

    def __init__(self, engine: Engine, files: Files) -> None:
        self._engine = engine
        self._files = files
        self._servers: dict[str, _Server] = {}
        self._uses = itertools.count(1)
        self._reuses: dict[str, Reuse] = {}
        self._restores: Counter[tuple[str, str]] = Counter()
        engine.interludes.before_stop.append(self._before_stop)

    def __repr__(self) -> str:
        taken = {model: server.seated for model, server in self._servers.items()}
        return f"<Parking: {taken} seated>"

    async def seat(
        self, session_id: str, model: str, upstream: Upstream, api: str = "chat"
    ) -> Seat | None:
        """With the lease held, before a turn's request goes out. None: it goes without `id_slot`. `api` is its `Shape.name`.

        Raises nothing.
        """
        try:
            server = await self._server(model, upstream)
            if server is None or not server.slots:
                return None
            return await self._seated(server, session_id, unsure=api in UNPINNED)
        except Exception:
            log.exception("%s: a session goes without its slot", model)
            return None

    def parked(self, session_id: str) -> dict[str, int]:
        """Bytes in files, by model."""
        return self._files.parked(session_id)

    def reused(self, session_id: str) -> Reuse | None:
        """None when nothing of it was restored since corral runs."""
        return self._reuses.get(session_id)

    def forgotten(self, session_id: str) -> None:
        """The session is no more: its files go. Returns at once."""
        self._reuses.pop(session_id, None)
        self._files.forget(session_id)
        for server in self._servers.values():
            for slot in server.slots or ():
                if slot.session == session_id:
                    slot.vacate()
            server.saving.pop(session_id, None)

    def families(self) -> list[Family]:
        """For a scrape."""
        sizes = sorted(self._files.sizes().items())
        return [
            (metrics.PARKED, [((model,), size) for model, size in sizes]),
            (metrics.RESTORES, sorted(self._restores.items())),
        ]

    # --- seats -------------------------------------------------------------------------------------------------------

    async def _server(self, model: str, upstream: Upstream) -> _Server | None:
        place = self._files.place(model)
        if place is None:
            return None
        server = self._servers.get(model)
        if server is None or server.upstream is not upstream:
            server = self._servers[model] = _Server(model, upstream, place)
        async with server.opening:
            if server.slots is None:
                facts = await slot_calls.facts(upstream)
                server.mark = facts.mark if facts else ""
                server.slots = [Slot(number) for number in range(facts.slots)] if facts else []
        return server

    async def _seated(self, server: _Server, session: str, *, unsure: bool) -> Seat | None:
        slots, working = server.slots or [], frozenset[int]()
        others = self._engine.machine.in_flight(server.model) > server.seated + 1
        if others or any(slot.unsure for slot in slots):
            working = await self._seen(server)
        slot = choice(slots, session, working)
        if slot is None:
            return None
        before, slot.session, slot.seated = slot.session, session, True
        try:
            restored = 0 if before == session else await self._handed_over(server, slot, before)
        except BaseException:
            slot.seated = False
            slot.vacate()
            raise
        if not server.slots:  # it cannot do this at all, as has just turned out
            return None
        slot.dirty, slot.unsure = True, unsure
        return Seat(slot.number, lambda usage: self._left(server, slot, session, restored, usage))

    async def _seen(
        self, server: _Server, within: float = slot_calls.SEEN_WITHIN
    ) -> frozenset[int]:
        """Note what is where; the slots that work."""
        seen = await slot_calls.seen(server.upstream, within)
        reconcile(server.slots or [], seen.tokens)
        return seen.working

    async def _handed_over(self, server: _Server, slot: Slot, before: str) -> int:
        """The slot has another session now; tokens that were restored."""
        session, count, dirty = slot.session, slot.count, slot.dirty
        slot.count, slot.dirty, slot.cut = None, False, False
        if dirty and before:
            await self._save(server, slot.number, before, count)
        if pending := server.saving.get(session):
            await asyncio.wait([pending])
        return await self._restore(server, slot, session)

    def _left(
        self, server: _Server, slot: Slot, session: str, restored: int, usage: Usage | None
    ) -> None:
        slot.seated, slot.used, slot.cut = False, next(self._uses), usage is None
        slot.count = held(usage)
        if restored and usage and usage.cache_tokens >= 0:
            self._judge(server, session, restored, usage)

    def _judge(self, server: _Server, session: str, restored: int, usage: Usage) -> None:
        reused = usage.cache_tokens
        self._reuses.pop(session, None)
        self._reuses[session] = Reuse(server.model, reused, restored, time.time())
        if len(self._reuses) > REUSES:
            del self._reuses[next(iter(self._reuses))]
        helped = reused >= HELPS * restored
        self._restores[server.model, "reused" if helped else "useless"] += 1
        # A prompt that is shorter than what was restored was cut, or has parted from it: that says nothing of the model.
        if helped or usage.input_tokens + reused >= restored:
            self._files.tried(server.place, helped=helped)

    # --- files -------------------------------------------------------------------------------------------------------

    def _before_stop(self, model: str) -> Awaitable[None] | None:
        """Save what is worth it, what was used last first, for whoever unloads waits a bounded time."""
        server = self._servers.get(model)
        if server is None or not self._runs(server) or self._files.place(model) is None:
            return None
        dirty = any(slot.dirty and not slot.seated for slot in server.slots or ())
        return self._save_all(server) if dirty else None

    def _runs(self, server: _Server) -> bool:
        try:
            return self._engine.processes.upstream(server.model) is server.upstream
        except CorralError:
            return False

    async def _save_all(self, server: _Server) -> None:
        await self._seen(server, slot_calls.TOLD_WITHIN)
        dirty = [slot for slot in server.slots or () if slot.dirty and not slot.seated]
        for slot in sorted(dirty, key=lambda one: one.used, reverse=True):
            slot.dirty = False
            await self._save(server, slot.number, slot.session, slot.count)

    async def _save(self, server: _Server, number: int, session: str, count: Count | None) -> None:
        """Save the slot for the session, unless it holds something else. A file that there is stays, when this comes to nothing."""
        pending = server.saving[session] = asyncio.get_running_loop().create_future()
        kept, about = 0, (server.place, session, server.mark)
        try:
            saved = await slot_calls.save(server.upstream, number, self._files.draft(*about))
            if saved is Trouble.NEVER:
                log.info("%s: its server cannot save slots; nothing is parked", server.model)
                server.slots = []
            wanted = server.saving.get(session) is pending
            if wanted and isinstance(saved, Moved) and _is_right(saved, count):
                kept = await self._files.keep(*about, saved.size)
        finally:
            if not kept:
                self._files.discard(*about)
            server.saving.pop(session, None)
            pending.set_result(None)

    async def _restore(self, server: _Server, slot: Slot, session: str) -> int:
        file = self._files.find(server.place, session, server.mark)
        if file is None or not await self._files.usable(file):
            return 0
        restored = await slot_calls.restore(server.upstream, slot.number, file.name)
        if isinstance(restored, Moved):
            return restored.tokens
        log.warning("%s: a parked file was not taken, the whole prompt is read", server.model)
        self._restores[server.model, "failed"] += 1
        self._files.drop(file)
        if restored is Trouble.GONE:  # it may have been the file that ended it
            self._files.tried(server.place, helped=False)
        return 0


def _is_right(saved: Moved, count: Count | None) -> bool:
    return saved.tokens > 0 and (count is None or count.fits(saved.tokens))

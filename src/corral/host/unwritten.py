"""What could not be written of conversations, in memory until it can be: seen by readers as if it were there.

1. What is added is in order, and it is written in that order.
2. It is bounded: what does not fit is lost, and whoever adds it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from corral.sessions.record import Head, Record

HELD = 64 * 2**20
"""Characters of messages, and bytes of blobs."""
BESIDE = 500
"""What a head or a message is counted for beside that: else empty ones would never fill it."""


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """A head, and the messages that follow those before."""

    head: Head
    records: Sequence[Record] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        held = sum(record.size for record in self.records) + sum(map(len, self.blobs.values()))
        return held + BESIDE * (1 + len(self.records))

    def onto(self, there: Head | None) -> Head:
        """The session's head, with this added."""
        if there is None:
            return replace(self.head, messages=len(self.records))
        used = replace(there, updated_at=self.head.updated_at)
        if not self.records:
            return used
        number = there.messages + len(self.records)
        return replace(used, model=self.head.model, system=self.head.system, messages=number)


class Unwritten:
    """A queue of additions. One thread adds, another one reads and takes away."""

    def __init__(self) -> None:
        self._additions: deque[Addition] = deque()

    def __len__(self) -> int:
        return len(self._additions)

    def add(self, addition: Addition) -> bool:
        """False when there is no room for it. An empty queue has room for any."""
        waiting = tuple(self._additions)  # in one step of the interpreter
        if waiting and sum(a.size for a in waiting) + addition.size > HELD:
            return False
        self._additions.append(addition)
        return True

    def first(self) -> Addition | None:
        return self._additions[0] if self._additions else None

    def drop_first(self) -> None:
        self._additions.popleft()

    def of(self, session_id: str) -> list[Addition]:
        return [a for a in tuple(self._additions) if a.head.session_id == session_id]

    def records(self, session_id: str) -> list[Record]:
        return [record for addition in self.of(session_id) for record in addition.records]

    def newest(self, session_id: str, size: int, count: int) -> list[Record]:
        """As `Conversations.newest`."""
        records = self.records(session_id)
        begin = len(records)
        while begin > 0 and size > 0 and len(records) - begin < count:
            begin -= 1
            size -= records[begin].size
        return records[begin:]

    def answer(self, response_id: str) -> tuple[str, int] | None:
        """The session of the answer with this id, and how many of its unwritten messages there are up to it."""
        for addition in tuple(self._additions):
            if response_id and any(r.response_id == response_id for r in addition.records):
                session_id = addition.head.session_id
                ids = [record.response_id for record in self.records(session_id)]
                return session_id, ids.index(response_id) + 1
        return None

    def blobs(self, hashes: Collection[str]) -> dict[str, bytes]:
        return {
            name: addition.blobs[name]
            for addition in tuple(self._additions)
            for name in hashes
            if name in addition.blobs
        }

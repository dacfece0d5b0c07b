"""What the gateway needs of corral's database for conversations, as a Protocol. `host` happens to fit; `app.py` introduces them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from corral.sessions.record import Head, Record

Blobs = Mapping[str, bytes]
"""The bytes of images and sounds, by their hash (`sessions.blobs`)."""


class Conversations(Protocol):
    """Conversations at rest. A read that the database does not answer in time is as if there were nothing; `trouble` says so then.

    Whatever is wrong with the disk, nothing here is raised but what is documented: conversations are then kept in memory, or not at all.
    """

    @property
    def trouble(self) -> str:
        """Why what is written now does not outlive corral, or is lost; empty when all is well. One line, for people."""
        ...

    async def head(self, session_id: str) -> Head | None: ...

    async def begin(self, head: Head) -> str:
        """Make this session; of one that is there, note that it is used (`updated_at`). Returns as `append`; it outlives corral, not the
        machine: there is no turn to lose yet."""
        ...

    async def newest(self, session_id: str, size: int, count: int) -> list[Record]:
        """The newest messages, oldest of them first: as many as hold `size` characters, or all; `count` at most."""
        ...

    async def digests(self, session_id: str) -> list[bytes]:
        """Of all messages, in order."""
        ...

    async def append(
        self, session_id: str, after: int, records: Sequence[Record], blobs: Blobs, head: Head
    ) -> str:
        """Write the messages number `after + 1` and on, and the head, in one transaction; on the disk when this returns.

        Returns why it could not be written, empty when it was. Of a session that is there `head` changes `updated_at` and, where there are
        records, `model` and `system`; what people have changed (`patch`) stays. Its `messages` is not looked at.
        `blobs` are all that the records refer to, those too that are stored already. Where `after` is not the last one that is there,
        the messages come behind that one.
        """
        ...

    async def fork(self, session_id: str, new_id: str, at: int) -> bool:
        """Make another session of the first `at` messages, with the head's preset and system. False when there is no such session."""
        ...

    async def cut(self, session_id: str, at: int, keep_as: str) -> None:
        """Take the messages after number `at` away; they stay as another session, `keep_as`, with those before them."""
        ...

    async def by_response(self, response_id: str) -> tuple[str, int] | None:
        """The session, and the number of the answer, that has this id."""
        ...

    async def blobs(self, hashes: Collection[str]) -> Blobs: ...

    async def page(self, limit: int, offset: int) -> tuple[int, list[Head]]:
        """How many sessions there are, and some of them, the ones used last first."""
        ...

    async def messages(self, session_id: str, after: int, limit: int) -> list[Record]:
        """Messages number `after + 1` and on."""
        ...

    async def patch(self, head: Head) -> bool:
        """Change preset, system and metadata. False when there is no such session."""
        ...

    async def delete(self, session_id: str) -> bool: ...

    async def undo(self, session_id: str) -> bool:
        """Delete a session that was begun, if nothing has been said in it."""
        ...

    async def expire(self, before: float) -> int:
        """Delete those that were last used before then (epoch seconds); how many they were."""
        ...

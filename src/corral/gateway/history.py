"""The stored messages that a turn may take into its prompt: the newest ones, no more of them than can be of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.gateway.incoming import Incoming
from corral.gateway.stores import Conversations
from corral.sessions.budget import Limits
from corral.sessions.partial import mended
from corral.sessions.record import Message, Record
from corral.sessions.trim import anchor

SPARSE: Final = 8
"""Characters of a token, in text of which more fits into a context than of any other."""
AT_ONCE: Final = 500
"""Messages that are read at least, of a history that goes on from an older message: those are not read by their size."""
SMALL: Final = 16
"""Characters of a small message."""
_ALL: Final = 2**62


@dataclass(frozen=True, slots=True)
class History:
    """The newest stored messages. What of them cannot be sent again is mended."""

    stored: list[Record]
    before: int
    """How many of the conversation's messages come before these."""
    reach: int
    """The same, for whoever trims; 0 when no prompt can begin among these and no more are to be had."""


async def history(store: Conversations, incoming: Incoming, limits: Limits) -> History:
    """As much as `limits` can take, and at least what the newest turn cannot do without."""
    size, count = _useful(limits), min(limits.messages or _ALL, _ALL)
    known = -1
    while True:
        found = await _newest(store, incoming, size, count)
        stored = mended(found, incoming.rest)
        before = incoming.place.kept - len(stored)
        begins = anchor(_all(stored, incoming), turn=incoming.place.turn, before=before) is not None
        if begins or not before or len(stored) <= known:
            return History(stored, before, before if begins else 0)
        known, size, count = len(stored), min(size * 4, _ALL), min(count * 4, _ALL)


def _useful(limits: Limits) -> int:
    """Characters."""
    tokens = limits.ceiling if limits.ceiling is not None else limits.tokens
    by_tokens = _ALL if tokens is None else tokens * SPARSE
    return min(by_tokens, limits.characters or _ALL)


async def _newest(store: Conversations, incoming: Incoming, size: int, count: int) -> list[Record]:
    kept, source = incoming.place.kept, incoming.source
    if incoming.branch is None:
        return await store.newest(source, size, count) if kept else []
    wanted = min(kept, count, max(AT_ONCE, size // SMALL))
    return await store.messages(source, kept - wanted, wanted)


def _all(stored: Sequence[Record], incoming: Incoming) -> list[Message]:
    return [*(record.message for record in stored), *incoming.rest]

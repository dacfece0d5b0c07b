"""Which session has which slot of a llama-server: the notes, and what becomes of them when the server says otherwise.

A session keeps its slot. One that has none gets a slot of nobody's, else the one that was used longest ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from corral.dialects.usage import Usage

SLACK: Final = 16
"""Tokens that an engine may count otherwise than it keeps: the last one of an answer is not read any more."""


class Count(frozenset[int]):
    """How many tokens a slot should hold. Some APIs count what was cached among the input, others beside it."""

    def fits(self, tokens: int) -> bool:
        return any(abs(tokens - one) <= SLACK for one in self)


@dataclass(slots=True)
class Slot:
    """What is noted of one."""

    number: int
    session: str = ""
    """Whose it is; empty: nobody's."""
    seated: bool = False
    dirty: bool = False
    """It may hold more than the session's file."""
    cut: bool = False
    """Its last answer was cut off: the engine may be at it still."""
    unsure: bool = False
    """The last turn may have gone to another slot."""
    count: Count | None = None
    """After the last answer, as far as that told."""
    used: int = 0
    """Counts up."""

    def vacate(self) -> None:
        """It is nobody's."""
        self.session, self.dirty, self.cut, self.unsure, self.count = "", False, False, False, None


def held(usage: Usage | None) -> Count | None:
    """What a slot holds after this answer; None when it does not tell."""
    if usage is None or usage.input_tokens + usage.output_tokens <= 0:
        return None
    counted = usage.input_tokens + usage.output_tokens
    return Count({counted, counted + max(usage.cache_tokens, 0)})


def choice(slots: Sequence[Slot], session: str, working: frozenset[int]) -> Slot | None:
    """The slot for a session's turn; None when all are in use. `working` are those that the engine is at."""
    mine = next((slot for slot in slots if slot.session == session), None)
    if mine and (mine.cut or mine.seated or mine.number not in working):
        return mine
    if mine:  # somebody else is in it: what it held is lost
        mine.vacate()
    free = [slot for slot in slots if not slot.seated and slot.number not in working]
    return min(free, key=lambda slot: (slot.session != "", slot.used), default=None)


def reconcile(slots: Sequence[Slot], tokens: Mapping[int, int]) -> None:
    """`tokens` is how many the slots really hold, none of those that are not in it; empty: nobody says.

    A session whose slot holds something else is where its count is found, else nowhere.
    """
    if not tokens:
        return
    strays = [slot for slot in slots if _is_stray(slot, tokens)]
    notes = [replace(slot) for slot in strays]
    for slot in slots:
        slot.unsure = slot.unsure and slot.seated
    for slot in strays:
        slot.vacate()
    for note in notes:
        if there := _found(note, slots, tokens):
            there.session, there.dirty = note.session, note.dirty
            there.count, there.used = note.count, note.used


def _is_stray(slot: Slot, tokens: Mapping[int, int]) -> bool:
    at_rest = slot.session and not slot.seated and not slot.cut
    return bool(at_rest) and not _fits(slot.count, tokens.get(slot.number, 0))


def _found(stray: Slot, slots: Sequence[Slot], tokens: Mapping[int, int]) -> Slot | None:
    free = (slot for slot in slots if not slot.seated and not slot.session)
    return next((slot for slot in free if _fits(stray.count, tokens.get(slot.number, 0))), None)


def _fits(count: Count | None, tokens: int) -> bool:
    """What did not tell how many it is fits anything."""
    return count is None or count.fits(tokens)

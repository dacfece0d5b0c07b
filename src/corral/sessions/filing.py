"""A message as it is kept: what tells whether it is the same again, and how much of a prompt it takes, are found out once."""

from __future__ import annotations

from corral.sessions.blobs import detach
from corral.sessions.budget import size
from corral.sessions.identity import digest
from corral.sessions.record import Message, Record


def record(message: Message, at: float = 0.0) -> Record:
    """Of a message whose bytes are held apart already (`blobs`). `at` is epoch seconds."""
    return Record(message, digest(message), size(message), at)


def filed(message: Message, at: float = 0.0) -> tuple[Record, dict[str, bytes]]:
    """The record, and the bytes that it refers to."""
    detached, held = detach(message)
    return record(detached, at), held

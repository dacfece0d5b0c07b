"""Replacing a few stretches of a body, whole or while it streams past, and leaving every other byte as it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `start` up to, and without, `end`, counted from the body's first byte."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """A named value and where its bytes sit. `raw` is as the body has it: still encoded, still quoted."""

    name: str
    raw: bytes
    span: Span
    whole: Span = Span(0, 0)
    """A JSON member's: from behind the comma before it to behind its own; the last one's ends with its value."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What comes in the place of a stretch."""

    span: Span
    new: bytes = b""


class Splice:
    """Carries out edits while a body goes through in pieces. `edits` are in order and do not overlap."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._ahead = list(reversed(edits))
        self._at = 0
        self._filled = False

    def feed(self, piece: bytes) -> bytes:
        """What becomes of this piece. Pieces come in order, from the body's first byte."""
        if not self._ahead:
            return piece
        out: list[bytes] = []
        while self._ahead:
            edit = self._ahead[-1]
            piece = self._copy(piece, edit.span.start, out)
            if self._at < edit.span.start:
                break
            if not self._filled:
                out.append(edit.new)
                self._filled = True
            piece = self._skip(piece, edit.span.end)
            if self._at < edit.span.end:
                break
            self._ahead.pop()
            self._filled = False
        self._copy(piece, self._at + len(piece), out)
        return b"".join(out)

    def _copy(self, piece: bytes, until: int, out: list[bytes]) -> bytes:
        out.append(piece[: max(until - self._at, 0)])
        return self._skip(piece, until)

    def _skip(self, piece: bytes, until: int) -> bytes:
        taken = min(max(until - self._at, 0), len(piece))
        self._at += taken
        return piece[taken:]


def growth(edits: Sequence[Edit]) -> int:
    """Bytes by which a body becomes longer (negative: shorter)."""
    return sum(len(edit.new) - (edit.span.end - edit.span.start) for edit in edits)


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The whole body with the edits carried out."""
    return Splice(edits).feed(body)

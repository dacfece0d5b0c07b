"""What somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.65) -> list[str]:
    """Up to `count` known names that look like `name`, the likest first; case does not matter."""
    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    return [by_folded[hit] for hit in get_close_matches(name.casefold(), by_folded, count, cutoff)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean \\`x\\`?`, or nothing."""
    hits = nearest(name, known)
    return f"; did you mean `{hits[0]}`?" if hits else ""

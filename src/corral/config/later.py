"""Keys that belong to the format and that this version reads past.

A file that uses them starts, and a note says which were ignored. `*` stands for any one step.
"""

from __future__ import annotations

from corral.config.document import Path

LATER: dict[Path, dict[str, str]] = {}


def later_keys(section: Path) -> dict[str, str]:
    """The keys of this kind in a section, with their help."""
    return next((keys for pattern, keys in LATER.items() if _fits(section, pattern)), {})


def leads_to_later(section: Path) -> bool:
    """Whether such keys may stand in a section, or deeper in it."""
    return any(_fits(section, pattern[: len(section)]) for pattern in LATER)


def _fits(path: Path, pattern: Path) -> bool:
    return len(path) == len(pattern) and all(
        want in ("*", have) for have, want in zip(path, pattern, strict=True)
    )

"""Several documents to one.

Mappings merge key by key, lists are joined, equal scalars are kept, nothing yields to something.
Everything else is a conflict, and so is one model, group, ... in two files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from corral.config.document import Document, Path, Place, dotted
from corral.errors import ConfigError, Problem

# Maps whose entries have an owner: a second file may add entries, not change one.
_IDENTITY: frozenset[Path] = frozenset(
    {
        ("models",),
        ("groups",),
        ("profiles",),
        ("selectors",),
        ("peers",),
        ("routers",),
        ("sessions", "presets"),
        ("matrix",),
        ("routing", "router", "settings", "groups"),
        ("routing", "router", "settings", "matrix"),
    }
)


def merge(documents: Sequence[Document]) -> Document:
    """Raises ConfigError with every conflict. The first document's places win."""
    merged = _Merge(documents[0])
    for document in documents[1:]:
        merged.add(document)
    if merged.problems:
        raise ConfigError([*merged.document.problems, *merged.problems])
    return merged.document


class _Merge:
    def __init__(self, first: Document) -> None:
        self.document = first
        self.problems: list[Problem] = []

    def add(self, other: Document) -> None:
        """Take in one more document."""
        moved: dict[Path, Path] = {}
        data = self._mapping(self.document.data, other.data, (), moved, other)
        places = dict(self.document.places)
        for path, place in other.places.items():
            places.setdefault(_moved(path, moved), place)
        self.document = Document(
            data,
            places,
            self.document.anchors | other.anchors,
            [*self.document.problems, *other.problems],
        )

    def _mapping(
        self,
        ours: dict[str, Any],
        theirs: dict[str, Any],
        path: Path,
        moved: dict[Path, Path],
        other: Document,
    ) -> dict[str, Any]:
        merged = dict(ours)
        for key, value in theirs.items():
            at = (*path, key)
            if key not in merged:
                merged[key] = value
            elif path in _IDENTITY:
                file = other.place(at).file
                self._wrong(other, at, f'duplicate {dotted(path)} "{key}" found in {file}')
            else:
                merged[key] = self._value(merged[key], value, at, moved, other)
        return merged

    def _value(
        self, ours: Any, theirs: Any, path: Path, moved: dict[Path, Path], other: Document
    ) -> Any:
        if ours is None or theirs is None:
            return theirs if ours is None else ours
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return self._mapping(ours, theirs, path, moved, other)
        if isinstance(ours, list) and isinstance(theirs, list):
            moved.update({(*path, n): (*path, n + len(ours)) for n in range(len(theirs))})
            return ours + theirs
        if isinstance(ours, dict | list) or isinstance(theirs, dict | list):
            self._wrong(other, path, "incompatible YAML node kinds: a mapping, a list and a value")
        elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
            first = self.document.place(path)
            where = f"{first.file}:{first.line}"
            self._wrong(other, path, f'conflict at "{dotted(path)}": {where} says otherwise')
        return ours

    def _wrong(self, other: Document, path: Path, message: str) -> None:
        at: Place = other.place(path)
        self.problems.append(Problem(at.file, at.line, at.column, dotted(path), message))


def _moved(path: Path, moved: dict[Path, Path]) -> Path:
    for length in range(len(path), 0, -1):
        if new := moved.get(path[:length]):
            return (*new, *path[length:])
    return path

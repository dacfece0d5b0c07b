"""What people are told at start."""

from __future__ import annotations

from corral.config.document import Document, Path


class Notes:
    """Lines for people, in the order of the file."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._first: list[str] = []
        self._placed: dict[tuple[str, int, int, str], None] = {}

    def say(self, line: str) -> None:
        """Something about the whole configuration."""
        self._first.append(f"{self._document.place(()).file}: {line}")

    def add(self, path: Path, message: str) -> None:
        """Something about one place."""
        at = self._document.place(path)
        told = f"{self._document.shown(path)}: {message}"
        self._placed[(at.file, at.line, at.column, told)] = None

    def at(self, file: str, line: int, message: str) -> None:
        """Something about a line of a further file."""
        self._placed[(file, line, 1, message)] = None

    def ignored(self, path: Path, message: str) -> None:
        """Something at one place that has no effect."""
        self.add(path, f"{message} (ignored)")

    def lines(self) -> tuple[str, ...]:
        """All of it."""
        placed = [f"{file}:{line} {text}" for file, line, _, text in sorted(self._placed)]
        return (*self._first, *placed)

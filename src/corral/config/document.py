"""A configuration text, read but not yet understood: plain data, and where each piece of it was written.

1. Keys are text. Values are text, `bool`, `int`, `float`, None, lists and mappings; nothing else.
2. A path names one place in the data: keys and list indexes from the top. Its place is that of the
   key (or of the list item), so that a problem points at what a person has to look at.
3. A number remembers how it was spelled (`1.10`, `007`), for where text was wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corral.errors import ConfigError, Problem

Path = tuple[str | int, ...]
Told = Callable[[Path, str], None]
"""Who hears what is to be said of one place."""


@dataclass(frozen=True, slots=True)
class Source:
    """One text of a configuration and the name that problems call it by (a file name, usually)."""

    name: str
    text: str
    unread: str = ""
    """Why there is no text."""


Beside = Mapping[str, Source]
"""Further texts that a configuration names, by how it names them. One that is not in it was not looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a source; line and column count from 1, 0 when there is none."""

    file: str
    line: int = 0
    column: int = 0


class SpelledInt(int):
    """An `int` that was not written the way Python writes it."""

    text: str


class SpelledFloat(float):
    """A `float` that was not written the way Python writes it."""

    text: str


def spelled(number: float, text: str) -> float:
    """`number`, remembering `text` where that is not how it would be printed."""
    if str(number) == text:
        return number
    kept = SpelledInt(number) if isinstance(number, int) else SpelledFloat(number)
    kept.text = text
    return kept


def as_text(scalar: object) -> object:
    """A scalar as the text that was written; anything else as it is."""
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    if isinstance(scalar, int | float):
        return getattr(scalar, "text", None) or str(scalar)
    return scalar


def plain(value: Any) -> Any:
    """`value` with every remembered spelling forgotten."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, SpelledInt):
        return int(value)
    return float(value) if isinstance(value, SpelledFloat) else value


@dataclass(slots=True)
class Document:
    """What one source, or several merged ones, say."""

    data: dict[str, Any]
    places: dict[Path, Place] = field(default_factory=dict)
    anchors: frozenset[str] = frozenset()
    """The top-level keys that hold anchors used elsewhere."""
    problems: list[Problem] = field(default_factory=list)
    """Mistakes that did not keep the text from being read."""
    written: dict[Path, Path] = field(default_factory=dict)
    """Where in a foreign format there stands what is at a path here."""

    def place(self, path: Path) -> Place:
        """Where `path` was written, or the nearest thing around it that was."""
        for length in range(len(path), -1, -1):
            if found := self.places.get(path[:length]):
                return found
        return Place("")

    def rename(self, written: Path, native: Path) -> None:
        """From now on what a foreign format has at `written` is at `native`; people are told of it as it is written."""
        self.places[native] = self.place(written)
        self.written[native] = written

    def shown(self, path: Path) -> str:
        """`path` as people have written it."""
        return dotted(self.written.get(path, path))


class Problems:
    """The mistakes found so far, each once: a later one at a path that already has one is dropped,
    as is the same message twice at one path. The document's own hide all others on their lines."""

    def __init__(self, document: Document, ignored: Told | None = None) -> None:
        """`ignored` is who hears of slight ones instead."""
        self._document = document
        self._ignored = ignored
        self._found: dict[Path, list[str]] = {}
        self._settled: set[Path] = set()

    def add(self, path: Path, message: str) -> None:
        """Note one mistake."""
        said = self._found.setdefault(path, [])
        if path not in self._settled and message not in said:
            said.append(message)

    def slight(self, path: Path, message: str) -> None:
        """Note one that llama-swap reads past, as if it were not written."""
        (self._ignored or self.add)(path, message)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where something is wrong, so far."""
        return tuple(self._found)

    def renamed(self, old: Path, new: Path) -> None:
        """From now on what stands at `old` is spoken of as `new`."""
        if old in self._document.places:
            self._document.places.setdefault(new, self._document.places[old])

    def settle(self) -> None:
        """Close a stage: what is wrong by now hides what a later stage says of the same path."""
        self._settled = set(self._found)

    def at(self, path: Path) -> bool:
        """Whether something is wrong with exactly what stands at `path`."""
        return path in self._found

    def within(self, path: Path) -> bool:
        """Whether something at `path`, or under it, is wrong."""
        return any(found[: len(path)] == path for found in self._found)

    def __iter__(self) -> Iterator[Problem]:
        yield from self._document.problems
        lines = {(problem.file, problem.line) for problem in self._document.problems}
        for problem in self._here():
            if (problem.file, problem.line) not in lines:
                yield problem

    def _here(self) -> Iterator[Problem]:
        for path, messages in self._found.items():
            at = self._document.place(path)
            for message in messages:
                yield Problem(at.file, at.line, at.column, self._document.shown(path), message)

    def raise_any(self) -> None:
        """Raises ConfigError with everything found, if anything was."""
        if found := tuple(self):
            raise ConfigError(found)


def dotted(path: Sequence[str | int]) -> str:
    """`models.qwen.aliases[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")

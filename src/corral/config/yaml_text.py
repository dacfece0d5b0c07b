"""YAML text to a `Document`.

1. YAML 1.2 as Go's parser reads it: `no`, `on`, `12:30` and dates are text; keys are text.
2. Duplicate keys, a second document and a top level that is no mapping are problems; so are an
   alias inside its own anchor and aliases that unfold to more than `MOST` values.
3. Merge keys (`<<`) are materialised: keys written beside it win, then the earlier mapping.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from corral.config.document import Document, Path, Place, Source, dotted, spelled
from corral.errors import ConfigError, Problem

MOST = 200_000
DEEPEST = 100

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# Python refuses numbers of thousands of digits; nobody means one.
_LONGEST_NUMBER = 400
_TEXT_TAGS = ("tag:yaml.org,2002:str", "!")
_PLAIN_WORDS = (
    ("found character '\\t' that cannot start any token", "a tab cannot indent; use spaces"),
    ("expected <block end>, but found '<block mapping start>'", "wrong indentation"),
    ("expected <block end>, but found", "wrong indentation, or a `-` or `:` too many:"),
    ("mapping values are not allowed", "a `:` does not fit here: wrong indentation or no quotes?"),
    ("could not find expected ':'", "a key without a `:`"),
    ("expected '<document start>'", "wrong indentation"),
    ("found unexpected end of stream", "the text ends inside quotes"),
)


@dataclass(slots=True)
class _Node:
    """A piece of YAML, before its anchors are unfolded."""

    at: Place
    value: Any
    """Text or a scalar; a list of nodes; a list of (key node, value node) for a mapping."""
    kind: str = "scalar"
    key: str = ""
    """A scalar as it was written."""
    size: int = 1
    anchors: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)


def read_yaml(source: Source) -> Document:
    """Raises ConfigError. An empty text is an empty document."""
    node = _Composer(source).document()
    if node is None or (node.kind == "scalar" and node.value is None):
        return Document({}, {(): Place(source.name, 1, 1)})
    if node.kind != "mapping":
        raise _problem(node.at, "the top level must be a mapping of keys")
    builder = _Builder(node.at)
    data = builder.value(node, ())
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(data, builder.places, _used_anchors(node))


def scalars(source: Source) -> Iterator[str]:
    """Every key and scalar value of a text, as written. Raises ConfigError."""
    for event in _events(source):
        if type(event).__name__ == "ScalarEvent":
            yield event.value


def scalar(text: str) -> Any:
    """An unquoted scalar's value."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return spelled(int(text), text)
    if _BASED.fullmatch(text):
        return spelled(int(text, 0), text)
    return spelled(float(text), text) if _FLOAT.fullmatch(text) else text


def _problem(at: Place, message: str) -> ConfigError:
    return ConfigError([Problem(at.file, at.line, at.column, "", message)])


def _events(source: Source) -> Iterator[Any]:
    yaml, reached = YAML(typ="safe", pure=True), None
    try:
        for event in yaml.parse(source.text.removeprefix("\ufeff")):
            reached = event.end_mark
            yield event
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Place(source.name, mark.line + 1, mark.column + 1) if mark else Place(source.name)
        raise _problem(at, _say(error.problem or error.context or "not YAML")) from None
    except YAMLError as error:
        raise _problem(_unprintable(source), _say(str(error).splitlines()[0])) from None
    except Exception as error:  # noqa: BLE001 - only the parser runs here, and some texts trip it
        line, column = (reached.line, reached.column) if reached else (0, 0)
        at = Place(source.name, line + 1, column + 1)
        raise _problem(at, f"not YAML: {error}") from None


def _say(problem: str) -> str:
    for theirs, ours in _PLAIN_WORDS:
        if problem.startswith(theirs):
            rest = problem.removeprefix(theirs).replace("'<scalar>'", "text")
            return ours + rest if ours.endswith(":") else ours
    if problem.endswith("that cannot start any token"):
        return problem.removesuffix("any token") + "a value: put quotes around it"
    return problem


def _unprintable(source: Source) -> Place:
    for number, line in enumerate(source.text.split("\n"), 1):
        for column, character in enumerate(line, 1):
            if not character.isprintable() and character not in "\t\r\ufeff":
                return Place(source.name, number, column)
    return Place(source.name, 1, 1)


class _Composer:
    """Events to nodes; anchors are shared, so that nothing grows here."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._events = _events(source)
        self._anchors: dict[str, _Node | None] = {}
        self._documents = 0

    def document(self) -> _Node | None:
        """The one document, or None when there is none."""
        found: _Node | None = None
        for event in self._events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    raise _problem(self._at(event), "a second document starts; one is read")
            elif name not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                found = self._node(event, 0)
        return found

    def _at(self, event: Any) -> Place:
        return Place(self._source.name, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> _Node:
        at, name = self._at(event), type(event).__name__
        if depth > DEEPEST:
            raise _problem(at, f"nested more than {DEEPEST} deep")
        if name == "AliasEvent":
            return self._alias(event.anchor, at)
        if event.anchor:
            self._anchors[event.anchor] = None
        if name == "ScalarEvent":
            node = self._scalar(event, at)
        else:
            node = self._collection(at, depth, mapping=name == "MappingStartEvent")
        if event.anchor:
            node.anchors.add(event.anchor)
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, at: Place) -> _Node:
        if anchor not in self._anchors:
            raise _problem(at, f"unknown anchor `{anchor}`")
        target = self._anchors[anchor]
        if target is None:
            raise _problem(at, f"`{anchor}` is used inside itself")
        return _Node(
            target.at, target.value, target.kind, target.key, target.size, aliases={anchor}
        )

    def _scalar(self, event: Any, at: Place) -> _Node:
        text = event.value
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise _problem(at, "half a surrogate pair is no character")
        said_to_be_text = str(event.tag) in _TEXT_TAGS if event.tag else False
        value = text if said_to_be_text or event.style else scalar(text)
        return _Node(at, value, key=text)

    def _collection(self, at: Place, depth: int, *, mapping: bool) -> _Node:
        items = self._items(depth)
        if not mapping:
            return self._fill(_Node(at, items, "sequence"), items)
        pairs = list(zip(items[::2], items[1::2], strict=True))
        return self._fill(_Node(at, pairs, "mapping"), items)

    def _items(self, depth: int) -> list[_Node]:
        items = []
        for event in self._events:
            if type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
                break
            items.append(self._node(event, depth + 1))
        return items

    def _fill(self, node: _Node, parts: Sequence[_Node]) -> _Node:
        for part in parts:
            node.size += part.size
            node.anchors |= part.anchors
            node.aliases |= part.aliases
        if node.size > MOST:
            raise _problem(node.at, f"anchors unfold to more than {MOST} values")
        return node


def _used_anchors(top: _Node) -> frozenset[str]:
    """The top-level keys that hold an anchor which is used under another one."""
    return frozenset(
        key.key
        for key, value in top.value
        if any(value.anchors & other.aliases for _, other in top.value if other is not value)
    )


class _Builder:
    """Nodes to plain data; anchors unfold here."""

    def __init__(self, top: Place) -> None:
        self.places: dict[Path, Place] = {(): top}
        self.problems: list[Problem] = []

    def value(self, node: _Node, path: Path) -> Any:
        """`node` as plain data; notes where everything under `path` was written."""
        if node.kind == "scalar":
            return node.value
        if node.kind == "sequence":
            for index, item in enumerate(node.value):
                self.places[(*path, index)] = item.at
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        data: dict[str, Any] = {}
        for key, value in self._pairs(node, path):
            self.places[(*path, key.key)] = key.at
            data[key.key] = self.value(value, (*path, key.key))
        return data

    def _pairs(self, node: _Node, path: Path) -> Iterator[tuple[_Node, _Node]]:
        """A mapping's own pairs in order, then those that it merges in and does not have itself."""
        seen: dict[str, int] = {}
        merged: list[_Node] = []
        for key, value in node.value:
            if key.kind != "scalar":
                self._wrong(key, path, "a key must be text")
            elif key.key == "<<":
                merged += value.value if value.kind == "sequence" else [value]
            elif key.key in seen:
                on = f"it is on line {seen[key.key]} already"
                self._wrong(key, (*path, key.key), f"duplicate key `{key.key}`; {on}")
            else:
                seen[key.key] = key.at.line
                yield key, value
        for source in merged:
            if source.kind != "mapping":
                self._wrong(source, path, "`<<` takes a mapping, or a list of them")
                continue
            for key, value in self._pairs(source, path):
                if key.key not in seen:
                    seen[key.key] = key.at.line
                    yield key, value

    def _wrong(self, node: _Node, path: Path, message: str) -> None:
        problem = Problem(node.at.file, node.at.line, node.at.column, dotted(path), message)
        if problem not in self.problems:
            self.problems.append(problem)

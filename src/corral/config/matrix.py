"""The matrix language: an expression over models denotes a family of sets that may be resident
together.

    expr := and ('|' and)*          alternatives
    and  := atom ('&' atom)*        together; binds tighter than |
    atom := NAME | '+' SETNAME | '(' expr ')'

Here text becomes a tree; the scheduler decides with it. Nothing is ever expanded: a tree of 40 nodes
may denote a million sets. A NAME is a var, else a model id; letters, digits, `_`, `-` and `.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from corral.config.nearest import did_you_mean

DEEPEST = 100


@dataclass(frozen=True, slots=True)
class One:
    """The set that holds one model, by its real id."""

    model: str


@dataclass(frozen=True, slots=True)
class Every:
    """`&`: one member of each part's family, united."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """`|`: any member of any part's family, in the order written."""

    parts: tuple[Expression, ...]


Expression = One | Every | Either


@dataclass(frozen=True, slots=True)
class NamedSet:
    """One entry of `sets`. A `+reference` is already resolved: it is the referenced set's own
    (shared) expression."""

    name: str
    text: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Matrix:
    """Sets in the order that ties are broken by (a referenced set stands before the set that refers
    to it); costs by model id, default 1. What it costs to evict a model in `learned` is the seconds
    that its loads take."""

    sets: tuple[NamedSet, ...]
    evict_costs: Mapping[str, int] = field(default_factory=dict)
    learned: frozenset[str] = frozenset()


class MatrixError(ValueError):
    """An expression that means nothing. The message does not name the set."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that an expression may use → real model ids; and the aliases, which it may not."""

    models: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)


def parse_sets(
    texts: Mapping[str, str], names: Vocabulary, wrong: Callable[[str, str], None]
) -> tuple[NamedSet, ...]:
    """The sets of a matrix, in tie-breaking order. Every set that cannot be read is told to
    `wrong(set, message)` and left out, as are those that refer to it.
    """
    tokens: dict[str, list[_Token]] = {}
    for name, text in texts.items():
        try:
            tokens[name] = list(_tokens(text))
        except MatrixError as error:
            wrong(name, str(error))
    done: dict[str, NamedSet] = {}
    for name in _ordered(tokens, wrong):
        try:
            expression = _Parser(tokens[name], names, done, texts).expression()
        except MatrixError as error:
            if str(error):
                wrong(name, str(error))
        else:
            done[name] = NamedSet(name, texts[name], expression)
    return tuple(done.values())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """One of `|&()`, `name`, `reference`."""
    text: str
    at: int
    """From 1."""


def _tokens(text: str) -> Iterator[_Token]:
    if not text.strip():
        raise MatrixError("empty DSL expression")
    at = 0
    while at < len(text):
        start, character = at, text[at]
        at += 1
        if character.isspace():
            continue
        if character in "|&()":
            yield _Token(character, character, start + 1)
            continue
        if character != "+" and not _in_name(character):
            raise MatrixError(f"unexpected character '{character}' at position {start + 1}")
        while at < len(text) and _in_name(text[at]):
            at += 1
        name = text[start:at].removeprefix("+")
        if not name:
            raise MatrixError(f"expected set name after '+' at position {start + 1}")
        yield _Token("reference" if character == "+" else "name", name, start + 1)


def _in_name(character: str) -> bool:
    return character.isalpha() or character.isdecimal() or character in "_-."


def _ordered(tokens: Mapping[str, list[_Token]], wrong: Callable[[str, str], None]) -> list[str]:
    """Definition order, but a referenced set before the one that refers to it. Sets on a circle are
    told to `wrong`, and stand where they are met; their reference then leads nowhere."""
    order: list[str] = []
    finished: set[str] = set()
    for first in tokens:
        stack = [] if first in finished else [(first, _references(first, tokens))]
        while stack:
            name, left = stack[-1]
            following = next(left, None)
            if following is None:
                stack.pop()
                finished.add(name)
                order.append(name)
            elif following in (path := [step for step, _ in stack]):
                circle = " -> ".join([*path[path.index(following) :], following])
                wrong(name, f"circular reference: {circle}")
            elif following not in finished and following in tokens:
                stack.append((following, _references(following, tokens)))
    return order


def _references(name: str, tokens: Mapping[str, list[_Token]]) -> Iterator[str]:
    return iter([token.text for token in tokens[name] if token.kind == "reference"])


class _Parser:
    """Recursive descent over one set's tokens."""

    def __init__(
        self,
        tokens: list[_Token],
        names: Vocabulary,
        done: Mapping[str, NamedSet],
        known: Mapping[str, str],
    ) -> None:
        self._tokens = tokens
        self._next = 0
        self._names = names
        self._done = done
        self._known = known
        self._depth = 0

    def expression(self) -> Expression:
        """All of it. Raises MatrixError, with no message when a referenced set was told already."""
        found = self._either()
        if self._next < len(self._tokens):
            raise self._unexpected()
        return found

    def _either(self) -> Expression:
        parts = [self._every()]
        while self._take("|"):
            parts.append(self._every())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _every(self) -> Expression:
        parts = [self._atom()]
        while self._take("&"):
            parts.append(self._atom())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _atom(self) -> Expression:
        if token := self._take("name"):
            return self._model(token)
        if token := self._take("reference"):
            return self._set(token)
        if not self._take("("):
            raise self._unexpected()
        self._depth += 1
        if self._depth > DEEPEST:
            raise MatrixError(f"parentheses nested more than {DEEPEST} deep")
        found = self._either()
        self._depth -= 1
        if not self._take(")"):
            raise MatrixError("missing closing parenthesis")
        return found

    def _take(self, kind: str) -> _Token | None:
        if self._next < len(self._tokens) and self._tokens[self._next].kind == kind:
            self._next += 1
            return self._tokens[self._next - 1]
        return None

    def _unexpected(self) -> MatrixError:
        if self._next == len(self._tokens):
            return MatrixError("unexpected token: the expression ends too early")
        token = self._tokens[self._next]
        return MatrixError(f"unexpected token '{token.text}' at position {token.at}")

    def _model(self, token: _Token) -> One:
        if token.text in self._names.models:
            return One(self._names.models[token.text])
        message = f"unknown var or model '{token.text}'"
        if real := self._names.aliases.get(token.text):
            raise MatrixError(f"{message}: it is an alias; name the model itself: '{real}'")
        raise MatrixError(message + did_you_mean(token.text, self._names.models))

    def _set(self, token: _Token) -> Expression:
        if token.text in self._done:
            return self._done[token.text].expression
        if token.text in self._known:
            raise MatrixError
        hint = did_you_mean(token.text, self._known)
        raise MatrixError(f"references undefined set '{token.text}'{hint}")

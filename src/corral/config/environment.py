"""`${env.NAME}` in the raw text, before anything else reads it.

1. Only references outside comments have to be set.
2. A value may not hold a line break or NUL; its backslashes and double quotes are escaped, so that
   it survives inside a double-quoted scalar (elsewhere the backslashes stay visible).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from corral.config.document import Source
from corral.errors import ConfigError, Problem

REFERENCE = re.compile(r"\$\{env\.([a-zA-Z_][a-zA-Z0-9_]*)\}")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})
_MARK = "corralEnv{}x"


def substitute(
    source: Source, env: Mapping[str, str], words: Callable[[Source], Iterable[str]]
) -> tuple[Source, list[Problem]]:
    """`source` with its references replaced, and what is wrong with those that cannot be (they
    become the word `unset`).

    `words` gives the keys and values of a text, without its comments.
    """
    wrong = {
        number: trouble
        for number, found in enumerate(REFERENCE.finditer(source.text))
        if (trouble := _trouble(found[1], env))
    }
    if wrong:
        live = _live(source, words)
        wrong = {number: trouble for number, trouble in wrong.items() if number in live}
    text = REFERENCE.sub(lambda found: _escaped(found[1], env), source.text)
    return replace(source, text=text), _problems(source, wrong)


def _escaped(name: str, env: Mapping[str, str]) -> str:
    return "unset" if _trouble(name, env) else env[name].translate(_ESCAPES)


def _trouble(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        return f"environment variable `{name}` is not set"
    if any(character in env[name] for character in "\n\r\0"):
        return f"environment variable `{name}` holds newlines, which are not allowed here"
    return ""


def _live(source: Source, words: Callable[[Source], Iterable[str]]) -> set[int]:
    """Which references, by number, stand outside comments; all of them when the text cannot be read."""
    numbers = iter(range(len(source.text)))
    marked = REFERENCE.sub(lambda _: _MARK.format(next(numbers)), source.text)
    try:
        said = " ".join(words(replace(source, text=marked)))
    except ConfigError:
        return set(range(len(source.text)))
    return {int(found) for found in re.findall(_MARK.format(r"(\d+)"), said)}


def _problems(source: Source, wrong: Mapping[int, str]) -> list[Problem]:
    problems = []
    for number, found in enumerate(REFERENCE.finditer(source.text)):
        if number in wrong:
            before = source.text[: found.start()]
            line, column = before.count("\n") + 1, found.start() - before.rfind("\n")
            problems.append(Problem(source.name, line, column, "", wrong[number]))
    return problems

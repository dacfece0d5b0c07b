"""What the command line and the environment ask for, read by the table.

1. A later flag wins over an earlier one, except where values add up (`--lora`, `--api-key`, ...).
2. A variable counts only where the command line does not name its flag.
3. A flag that llama-server has but the wheel cannot reach takes its arguments all the same, and is reported.
4. Anything else is one `Misuse`, which says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from corral.engines.flags import FLAGS, Flag
from corral.engines.flags.kinds import TRUE, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Misuse(Exception):  # noqa: N818 - what the user did, not what the program met
    """The command line cannot be understood; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One flag as it was given: `said` is how, for messages; `value` what it came to."""

    flag: Flag
    said: str
    value: Any


def _spellings() -> dict[str, tuple[Flag, bool]]:
    table = {name: (flag, True) for flag in FLAGS for name in flag.names.split()}
    return table | {name: (flag, False) for flag in FLAGS for name in flag.off.split()}


SPELLINGS = _spellings()
"""Every way to write a flag, with whether it says yes or no."""


def read(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Asked, ...]:
    """What is asked for, in the order to apply it: the environment first.

    Raises Misuse for an unknown flag, a missing argument, or a value that cannot be read.
    """
    said = tuple(_said(argv))
    named = {asked.flag.names for asked in said}
    return (*_environment(environ, named), *said)


def _said(argv: Sequence[str]) -> Iterator[Asked]:
    words = iter(argv)
    for word in words:
        flag, yes = _find(word)
        arguments = [_argument(words, word, flag) for _ in flag.kind.metavar.split()]
        said = " ".join((word, *arguments))
        yield Asked(flag, said, _value(flag, said, arguments, yes=yes))


def _find(word: str) -> tuple[Flag, bool]:
    name = word.replace("_", "-") if word.startswith("--") else word
    if name not in SPELLINGS:
        raise Misuse(f"unknown argument: {word}{_hint(name)}")
    return SPELLINGS[name]


def _hint(name: str) -> str:
    import difflib  # noqa: PLC0415 - only a mistake pays for it

    flag, equals, value = name.partition("=")
    if equals and flag in SPELLINGS:
        return f" (write {flag} {value})"
    near = difflib.get_close_matches(flag, SPELLINGS, n=1)
    return f" (did you mean {near[0]}?)" if near else " (--help lists them all)"


def _argument(words: Iterator[str], name: str, flag: Flag) -> str:
    argument = next(words, None)
    if argument is None:
        raise Misuse(f"{name} needs a value: {flag.kind.metavar}")
    return argument


def _value(flag: Flag, said: str, arguments: Sequence[str], *, yes: bool) -> Any:
    if not flag.kind.metavar:
        return flag.value if yes else not flag.value
    try:
        return flag.kind.parse(*arguments)
    except ValueError as error:
        raise Misuse(f"{said}: {error}") from None


def _environment(environ: Mapping[str, str], named: set[str]) -> Iterator[Asked]:
    for flag in FLAGS:
        if flag.env and flag.names not in named:
            yield from _from_environment(flag, environ)


def _from_environment(flag: Flag, environ: Mapping[str, str]) -> Iterator[Asked]:
    for name in flag.env_off.split():
        if name in environ:
            yield Asked(flag, name, not flag.value)
            return
    for name in flag.env.split():
        if text := environ.get(name):
            yield from _from_variable(flag, f"{name}={text}", text)
            return


def _from_variable(flag: Flag, said: str, text: str) -> Iterator[Asked]:
    if flag.kind.metavar:
        yield Asked(flag, said, _value(flag, said, [text], yes=True))
    elif flag.off:
        yield Asked(flag, said, _value(flag, said, (), yes=_yes(said, text)))
    elif text in TRUE:
        yield Asked(flag, said, flag.value)


def _yes(said: str, text: str) -> bool:
    try:
        return truth(text)
    except ValueError as error:
        raise Misuse(f"{said}: {error}") from None

"""How a command speaks and ends: answers on stdout, one line on stderr for people, a truthful exit code."""

from __future__ import annotations

import sys
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every `corral` command."""

    DONE = 0
    FAILED = 1
    MISUSED = 2
    """Wrong use, or a bad configuration."""
    UNREACHABLE = 3
    """No corral answers at the address."""


class Failure(Exception):  # noqa: N818 - it ends a command, as SystemExit ends a program
    """Ends a command with `code`, after saying `prefix` and `message`. Raised anywhere below a command."""

    def __init__(self, message: str, code: Exit = Exit.FAILED, *, prefix: str = "corral: ") -> None:
        super().__init__(prefix + message)
        self.message = message
        self.code = code


def say(message: str) -> None:
    """A line for people, on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def answer(text: str) -> None:
    """What was asked for, on stdout."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()

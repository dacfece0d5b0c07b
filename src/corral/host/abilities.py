"""What a program says that it can do: the options that its `--help` lists.

1. It is asked once, for as long as it stays the same file; one that does not answer in `LIMIT` seconds lists nothing.
2. It is launched as every process is: nothing of it outlives the question, nor corral.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from corral.host.lifeline import Lifeline
from corral.host.process import Command, launched

LIMIT: Final = 10.0
"""Seconds: drivers take their time, on a cold disk."""
LONGEST: Final = 2**20
"""Bytes of a help text that are read."""

_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")

log = logging.getLogger(__name__)


class _Stamp(NamedTuple):
    """What changes when another file takes a program's place."""

    program: str
    time: int
    size: int
    number: int


_told: dict[_Stamp, frozenset[str]] = {}


async def options(program: str, env: Mapping[str, str], lifeline: Lifeline) -> frozenset[str]:
    """The options that `program`, a path, lists; none when it does not say. `env` is added to corral's own environment."""
    stamp = await asyncio.to_thread(_stamp, program)
    if stamp is None:
        return frozenset()
    if stamp not in _told:
        _told[stamp] = await _asked(program, env, lifeline)
    return _told[stamp]


def known_options(program: str) -> frozenset[str] | None:
    """What `options` said last of this path, without asking anybody; None when it was never asked."""
    found = (told for stamp, told in reversed(_told.items()) if stamp.program == program)
    return next(found, None)


def _stamp(program: str) -> _Stamp | None:
    try:
        found = os.stat(program)  # noqa: PTH116 (a path as it will be launched)
    except (OSError, ValueError):
        return None
    return _Stamp(program, found.st_mtime_ns, found.st_size, found.st_ino)


async def _asked(program: str, env: Mapping[str, str], lifeline: Lifeline) -> frozenset[str]:
    said: list[bytes] = []

    def hear(piece: bytes) -> None:
        if sum(map(len, said)) < LONGEST:
            said.append(piece)

    command = Command((program, "--help"), env)
    try:
        async with asyncio.timeout(LIMIT), launched(command, lifeline, hear) as child:
            await asyncio.wait([child.exited])
            await asyncio.wait([child.drained])
    except (TimeoutError, OSError) as error:
        why = str(error) or f"no answer in {LIMIT:g} s"
        log.warning("%s --help: %s; taken for one that lists no options", program, why)
        return frozenset()
    return frozenset(_OPTION.findall(b"".join(said).decode("utf-8", "replace")))

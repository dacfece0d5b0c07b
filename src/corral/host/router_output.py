"""What a router prints, sorted: a model's server speaks with its port in front (`[58903] ...`), the router names whom it speaks of.

Lines that belong to nobody go where all go that the router says of itself.
"""

from __future__ import annotations

import re
from typing import Final

from corral.host.logs import Sink

LONGEST: Final = 64 * 1024
"""Bytes of a line that are waited for."""

_CHILD: Final = re.compile(rb"\[(\d{1,5})\] ")
_SPAWNED: Final = re.compile(rb"instance with name=(.+) on port (\d{1,5})\s*$")
_NAMED: Final = re.compile(rb"instance name=(.+?)(?: exited with status .*)?\s*$")
_PASSED_ON: Final = re.compile(rb"proxying request to model (.+) on port \d{1,5}\s*$")


class Sorter:
    """Fed what a router prints, in pieces. `rest` is for what is about no model in `models`, by their ids there."""

    def __init__(self, rest: Sink) -> None:
        self.models: dict[str, Sink] = {}
        self._rest = rest
        self._ports: dict[bytes, str] = {}
        self._held = b""

    def write(self, piece: bytes) -> None:
        """The next piece, of any size."""
        *lines, self._held = (self._held + piece).splitlines(keepends=True) or [b""]
        if self._held.endswith(b"\n") or len(self._held) > LONGEST:
            lines, self._held = [*lines, self._held], b""
        for line in lines:
            self._sink(line).write(line)

    def end(self) -> None:
        """That was all."""
        if self._held:
            self.write(b"\n")

    def _sink(self, line: bytes) -> Sink:
        return self.models.get(self._about(line), self._rest)

    def _about(self, line: bytes) -> str:
        """The id of the model that a line is about, "" for none."""
        if child := _CHILD.match(line):
            return self._ports.get(child[1], "")
        if spawned := _SPAWNED.search(line):
            self._ports[spawned[2]] = _text(spawned[1])
        named = spawned or _NAMED.search(line) or _PASSED_ON.search(line)
        return _text(named[1]) if named else ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")

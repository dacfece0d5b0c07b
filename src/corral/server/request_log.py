"""A line in corral's log for every request that is over, in llama-swap's words.

1. For it a request pays a look at the clock, the counting of bytes and one string; lines are logged many at a time. Until then nothing of
   a request is held but its line: what lives longer than a request makes the collector of garbage go through it.
2. Where the log's level hides them, nothing is counted.
3. The address is the connection's own: what a proxy says of it, anybody could say.
4. A line is one line, whatever a client sends. Queries are not in it, they may hold keys.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from corral.gateway.exchange import LEFT
from corral.gateway.relay import Message, Send
from corral.server import front
from corral.wire.headers import find

QUIET = ("/wol-health", "/api/performance", "/metrics")
"""Where paths begin that machines ask for all day."""
GATHERING = 0.05
"""Seconds that a finished request waits for others."""

log = logging.getLogger("corral.requests")


class Noted:
    """A `send` that sees the status and counts the body. It hands on the coroutine of the one below."""

    __slots__ = ("_began", "_scope", "_send", "_size", "_status")

    def __init__(self, scope: front.Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._status = 0
        self._size = 0
        self._began = time.perf_counter()

    def __call__(self, message: Message) -> Coroutine[Any, Any, None]:
        if "body" in message:
            self._size += len(message["body"])
        elif "status" in message:
            self._status = message["status"]
        return self._send(message)

    def line(self) -> str:
        """`Request IP "METHOD path proto" status size "UA" duration`, for a request that is over now."""
        took, scope = time.perf_counter() - self._began, self._scope
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        agent = (find(scope["headers"], b"user-agent") or b"").decode("latin-1")
        client = scope.get("client")
        return (
            f'Request {client[0] if client else "-"} "{scope["method"]} {_shown(path)} HTTP/{scope["http_version"]}" '
            f'{self._status or self._unanswered()} {self._size} "{_shown(agent)}" {duration(took)}'
        )

    def _unanswered(self) -> int:
        return 101 if front.switched(self._scope) else LEFT


class RequestLog:
    """Collects those that are over."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._moments: list[float] = []

    def noted(self, scope: front.Scope, send: Send) -> Noted | None:
        """For a request that begins: its `send` from now on. None when nobody would read its line."""
        if not log.isEnabledFor(logging.INFO) or scope["path"].startswith(QUIET):
            return None
        return Noted(scope, send)

    def add(self, noted: Noted) -> None:
        """This one is over."""
        if not self._lines:
            asyncio.get_running_loop().call_later(GATHERING, self.flush)
        self._lines.append(noted.line())
        self._moments.append(time.time())

    def flush(self) -> None:
        """Log the lines that are still waiting."""
        lines, moments = self._lines, self._moments
        self._lines, self._moments = [], []
        if lines:
            log.info("%s", "\n".join(lines), extra={"moments": moments})


def duration(seconds: float) -> str:
    """As Go writes it, to the microsecond: `950µs`, `12.345ms`, `1.5s`, `1m2s`."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f}µs"
    if seconds < 1:
        return f"{_short(seconds * 1e3)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{before}{_short(rest)}s"


def _short(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")


def _shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]

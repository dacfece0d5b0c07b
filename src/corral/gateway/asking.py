"""A question to an engine whose whole answer is wanted, for corral's own use: bounded in time and in size."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from corral.errors import UpstreamInvalid, UpstreamTimeout
from corral.gateway.ports import Flow, Headers, Outgoing, Upstream

LONGEST: Final = 64 * 2**20
"""Bytes of an answer that are read: the tokens of a prompt are a long list."""
_AGENT: Final = (b"user-agent", b"corral")
_JSON: Final = (b"content-type", b"application/json")


class Told(NamedTuple):
    """An answer."""

    status: int
    body: bytes


async def ask(
    upstream: Upstream,
    method: bytes,
    target: bytes,
    body: bytes = b"",
    *,
    within: float,
    accept: bytes = b"application/json",
    longest: int = LONGEST,
) -> Told:
    """The engine's answer, whatever its status. `body` is JSON.

    Raises UpstreamTimeout after `within` seconds, UpstreamInvalid for an answer of more than `longest` bytes, and what
    `Upstream.exchange` raises.
    """
    answer = _Answer(longest)
    headers = [(b"accept", accept), _JSON, _AGENT] if body else [(b"accept", accept), _AGENT]
    request = Outgoing(method, target, headers, body)
    try:
        async with asyncio.timeout(within):
            await upstream.exchange(request, answer, connect=within, idle=within)
    except TimeoutError:
        raise UpstreamTimeout(f"{target.decode()}: no answer within {within:g} s") from None
    return Told(answer.status, b"".join(answer.pieces))


class _Answer:
    """`ports.Answer`, kept whole."""

    def __init__(self, longest: int) -> None:
        self.status = 0
        self.pieces: list[bytes] = []
        self._longest = longest
        self._size = 0

    def head(self, status: int, headers: Headers, flow: Flow) -> None:  # noqa: ARG002 - the port's
        self.status = status

    def body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._longest:
            raise UpstreamInvalid(f"an answer of more than {self._longest >> 20} MiB")
        self.pieces.append(chunk)

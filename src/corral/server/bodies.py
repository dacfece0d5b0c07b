"""A request's body, as its client sends it: in memory while it is small, above that on disk.

A body over the limit is refused before it is read when its length is declared, and where the limit is crossed when it is not.
"""

from __future__ import annotations

from collections.abc import Callable

from corral.errors import BodyTooLarge
from corral.gateway.ports import Spool
from corral.gateway.relay import ClientLeft, Message
from corral.server.front import Receive, Scope
from corral.wire.headers import content_length

IN_MEMORY = 4 * 2**20
"""Bytes of a body that are kept in memory; more goes to a spool."""


async def read(
    scope: Scope, receive: Receive, limit: int, spool: Callable[[], Spool]
) -> bytes | Spool:
    """A request's whole body: bytes up to `IN_MEMORY`, above that a spool, which is then the caller's to close.

    `limit` is bytes. Raises BodyTooLarge, and ClientLeft when the client leaves before its end.
    """
    declared = content_length(scope["headers"])
    if declared is not None and declared > limit:
        raise _too_large(limit)
    piece, more = _piece(await receive())
    if not more and len(piece) <= min(limit, IN_MEMORY):
        return piece
    return await _long(piece, more, receive, limit, spool)


async def _long(
    piece: bytes, more: bool, receive: Receive, limit: int, spool: Callable[[], Spool]
) -> bytes | Spool:
    held, size = bytearray(piece), len(piece)
    while more and size <= min(limit, IN_MEMORY):
        piece, more = _piece(await receive())
        held += piece
        size += len(piece)
    if size > limit:
        raise _too_large(limit)
    if size <= IN_MEMORY:
        return bytes(held)
    spooled = spool()
    try:
        await spooled.feed(bytes(held))
        held.clear()
        await _spool(spooled, more, receive, size, limit)
    except BaseException:
        spooled.close()
        raise
    return spooled


async def _spool(spooled: Spool, more: bool, receive: Receive, size: int, limit: int) -> None:
    while more:
        piece, more = _piece(await receive())
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        await spooled.feed(piece)


def _piece(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the request's body is larger than maxBody, {limit} bytes; send less, or raise maxBody"
    )

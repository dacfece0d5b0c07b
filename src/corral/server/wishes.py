"""What a request to corral itself says in its body, which is small."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from corral.errors import BodyTooLarge, InvalidRequest

T = TypeVar("T")

LONGEST = 2**20
"""Bytes: more than any configuration has, or a system prompt with a few notes."""


async def text(request: Request, what: str) -> bytes:
    """The body, which is `what`, for people. Raises BodyTooLarge."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            raise BodyTooLarge(f"{what} has {LONGEST >> 20} MiB at most")
    return bytes(body)


async def read(request: Request, kind: type[T], wrong: str = "the body cannot be taken") -> T:
    """The JSON body; an empty one is an empty object. Raises BodyTooLarge, and InvalidRequest, `wrong` and the place of what is."""
    body = await text(request, "what is asked of corral itself")
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{wrong}: {error}") from None

"""What a request adds to its conversation: read, its bytes held apart, and recognised against what is stored.

1. Messages that are stored already are not new, however they are sent.
2. Where a client leaves what is stored, the history goes on from there; what was there stays, as another session. Nothing is changed before
   there is an answer.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from corral.dialects.turns.shape import Asked, Shape
from corral.errors import BodyTooLarge
from corral.gateway.naming import Wanted
from corral.gateway.ports import Body
from corral.gateway.stores import Blobs, Conversations
from corral.sessions import blobs
from corral.sessions.recognise import Recognised, recognise, resent
from corral.sessions.record import Head, Message

LONGEST: Final = 64 * 2**20
"""Bytes of a request whose conversation is kept: it is read as a whole."""
LONG: Final = 2**20
"""Bytes of one that is read in a thread, so that streams go on meanwhile."""
_ALL: Final = 2**62


class Origin(NamedTuple):
    """An answer to go on from: the session that it is in, and its number there."""

    session: str
    number: int


@dataclass(frozen=True, slots=True)
class Branch:
    """How the history leaves what is stored: another session begins, or the rest of this one becomes another (`cut`)."""

    session: str
    """The one with the messages before."""
    at: int
    new: str
    """The other session."""
    cut: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says. Its messages have their bytes held apart (`blobs`)."""

    shape: Shape
    asked: Asked
    messages: tuple[Message, ...]
    blobs: Blobs
    stores: bool
    """The turn is to be kept."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A turn, as far as its client makes it. The prompt's history are messages 1 to `place.kept` of the session `source`."""

    head: Head
    """Of the session that the turn belongs to, as the turn leaves it."""
    known: Head | None
    """Of the session `source`, as it is; None when there is none."""
    source: str
    place: Recognised
    request: Request
    branch: Branch | None = None

    @property
    def session_id(self) -> str:
        return self.head.session_id

    @property
    def same_system(self) -> bool:
        """As far as is known, the system prompt is the one of the last answer."""
        return self.known is not None and self.known.system == self.head.system

    @property
    def rest(self) -> tuple[Message, ...]:
        """What comes after the history in the prompt."""
        return self.request.messages[self.place.new :]

    @property
    def new(self) -> tuple[Message, ...]:
        """What is to be stored."""
        return self.request.messages[self.place.new : self.place.end]

    @property
    def prefill(self) -> Message | None:
        """The beginning of the answer, where the client gives one."""
        return next(iter(self.request.messages[self.place.end :]), None)


async def whole(body: bytes | Body) -> bytes:
    """All of it in memory. Raises BodyTooLarge."""
    if isinstance(body, bytes):
        return body
    if body.size > LONGEST:
        raise BodyTooLarge(
            f"the request's body is larger than {LONGEST >> 20} MiB, the most that a kept conversation takes at once"
        )
    return b"".join([piece async for piece in body.chunks()])


async def read(
    store: Conversations, wanted: Wanted, body: bytes, session_id: str, origin: Origin | None
) -> Incoming:
    """Raises InvalidRequest, with the index of the message that is wrong."""
    if len(body) > LONG:
        request = await asyncio.to_thread(_read, wanted, body)
    else:
        request = _read(wanted, body)
    known = await store.head(session_id)
    if origin:
        return _gone_on(request, known, origin)
    place = await _place(store, session_id, known.messages if known else 0, request.messages)
    head = _head(known, session_id, request.asked)
    branch = Branch(session_id, place.kept, _fresh(), cut=True) if place.fork else None
    return Incoming(head, known, session_id, place, request, branch)


def _gone_on(request: Request, known: Head | None, origin: Origin) -> Incoming:
    """After the answer that the request names: in its session while that is the newest one, else in a session of its own.

    OpenAI's API does not carry the system prompt over then.
    """
    session, at = origin
    place = Recognised(at, 0, len(request.messages), len(request.messages), fork=False)
    head = replace(_head(known, session, request.asked), system=request.asked.system)
    if head.messages <= at:
        return Incoming(head, known, session, place, request)
    branch = Branch(session, at, _fresh(), cut=False)
    head = replace(
        head, session_id=branch.new, created_at=head.updated_at, forked_from=session, forked_at=at
    )
    return Incoming(head, known, session, place, request, branch)


def _read(wanted: Wanted, body: bytes) -> Request:
    asked = wanted.shape.read(body)
    found: dict[str, bytes] = {}
    messages = []
    for message in asked.messages:
        detached, held = blobs.detach(message)
        messages.append(detached)
        found |= held
    return Request(wanted.shape, asked, tuple(messages), found, wanted.stores)


async def _place(
    store: Conversations, session_id: str, there: int, messages: Sequence[Message]
) -> Recognised:
    if not there:
        return recognise([], messages)
    if resent(messages):
        return recognise(await store.digests(session_id), messages)
    newest = await store.newest(session_id, _ALL, len(messages))
    return recognise([record.digest for record in newest], messages, before=there - len(newest))


def _head(known: Head | None, session_id: str, asked: Asked) -> Head:
    now = time.time()
    known = known or Head(session_id, now, now)
    return replace(known, updated_at=now, system=asked.system or known.system)


def _fresh() -> str:
    return str(uuid.uuid4())

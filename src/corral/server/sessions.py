"""`/api/sessions`: the conversations that corral keeps, for people and tools.

1. What changes a session, or takes it away, waits for a turn that is under way, as another turn would.
2. What is wrong with a request is told, all that cannot be read by its place; nothing is changed then.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from corral.config.nearest import did_you_mean
from corral.dialects.turns.chat import CHAT
from corral.errors import InvalidRequest, NotStored, SessionNotFound
from corral.gateway.gateway import Gateway
from corral.gateway.naming import checked
from corral.server import transcript, wishes
from corral.server.feeds import LIVE, Live
from corral.sessions.record import Head, Message

PAGE: Final = 100
LARGEST_PAGE: Final = 1000
"""Sessions of the list in one answer."""
_MOST: Final = 2**53
"""Of a number in a query."""


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """What a PATCH changes; what it does not name stays, null takes it away."""

    preset: str | UnsetType | None = UNSET
    system: str | list[dict[str, Any]] | UnsetType | None = UNSET
    metadata: dict[str, str | None] | UnsetType | None = UNSET
    """Note by note."""


class Branch(msgspec.Struct, forbid_unknown_fields=True):
    """What a fork is to be."""

    at: int | None = None
    """Messages that it has in common; None: all."""
    session_id: str | None = None


class Sessions:
    """The routes over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._conversing = gateway.conversations
        self._store = gateway.conversations.store

    def routes(self) -> list[Route]:
        one = "/api/sessions/{session_id:path}"
        return [
            Route("/api/sessions", self.every, methods=["GET"]),
            Route(f"{one}/export", self.export, methods=["GET"]),
            Route(f"{one}/fork", self.fork, methods=["POST"]),
            Route(one, self.one, methods=["GET"]),
            Route(one, self.change, methods=["PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]

    # --- reading -----------------------------------------------------------------------------------------------------

    async def every(self, request: Request) -> Response:
        limit = min(_number(request, "limit", PAGE), LARGEST_PAGE)
        offset = _number(request, "offset", 0)
        total, heads = await self._store.page(limit, offset)
        listed = [_told(head) for head in heads]
        page = {"total": total, "limit": limit, "offset": offset}
        return _json({"sessions": listed} | page | self._trouble())

    async def one(self, request: Request) -> Response:
        after, limit = _number(request, "after", 0), _number(request, "limit", _MOST)
        head = await self._head(request)
        about = self._about(head)
        return _streamed(request, transcript.shown(self._store, head, about, after, limit))

    async def export(self, request: Request) -> Response:
        form = request.query_params.get("format", "json")
        if form not in ("json", "jsonl"):
            raise InvalidRequest("format must be json or jsonl")
        head = await self._head(request)
        if form == "json":
            return _streamed(request, transcript.exported(self._store, head))
        return _streamed(request, transcript.lines(self._store, head), "application/jsonl")

    # --- changing ----------------------------------------------------------------------------------------------------

    async def change(self, request: Request) -> Response:
        change = await wishes.read(request, Change)
        known = self._gateway.config.sessions.presets
        if change.preset and change.preset not in known:
            hint = did_you_mean(change.preset, known)
            raise InvalidRequest(f"preset: there is no preset `{change.preset}`{hint}")
        async with self._conversing.alone(_id(request)):
            head = changed(await self._head(request), change)
            if not await self._store.patch(head):
                raise self._refused(head.session_id)
        return _json(self._about(head))

    async def fork(self, request: Request) -> Response:
        """201 with the new session."""
        branch = await wishes.read(request, Branch)
        new = str(uuid.uuid4()) if branch.session_id is None else checked(branch.session_id)
        head = await self._head(request)
        at = head.messages if branch.at is None else branch.at
        if not 0 <= at <= head.messages:
            raise InvalidRequest(f"at must be 0 to {head.messages}, the messages that there are")
        if await self._store.head(new):
            raise InvalidRequest(f"there is a session `{new}` already")
        if not await self._store.fork(head.session_id, new, at):
            raise self._refused(head.session_id)
        made = await self._store.head(new)
        return _json(_told(made or replace(head, session_id=new, messages=at)), 201)

    async def delete(self, request: Request) -> Response:
        async with self._conversing.alone(_id(request)):
            head = await self._head(request)
            if not await self._store.delete(head.session_id):
                raise self._refused(head.session_id)
            if self._gateway.conversations.parking:
                self._gateway.conversations.parking.forgotten(head.session_id)
        return _json({"session_id": head.session_id, "deleted": True})

    # --- one session -------------------------------------------------------------------------------------------------

    async def _head(self, request: Request) -> Head:
        """Raises SessionNotFound."""
        session_id = _id(request)
        head = await self._store.head(session_id)
        if head is None:
            why = f" ({self._store.trouble})" if self._store.trouble else ""
            raise SessionNotFound(f"there is no session `{session_id}`{why}")
        return head

    def _about(self, head: Head) -> dict[str, Any]:
        """All but the messages."""
        parking = self._gateway.conversations.parking
        reuse = parking.reused(head.session_id) if parking else None
        return {
            **_told(head),
            "system": list(head.system),
            "parked": parking.parked(head.session_id) if parking else {},
            "last_reuse": reuse
            and {"model": reuse.model, "tokens": reuse.tokens, "of": reuse.of, "at": reuse.at},
            **self._trouble(),
        }

    def _trouble(self) -> dict[str, str]:
        return {"trouble": self._store.trouble} if self._store.trouble else {}

    def _refused(self, session_id: str) -> NotStored:
        """Why the store did not take a change."""
        why = self._store.trouble or "it was changed or deleted at the same time"
        return NotStored(f"session {session_id} stays as it is: {why}", retry_after=5)


def changed(head: Head, change: Change) -> Head:
    """The head with what is named changed. Raises InvalidRequest."""
    if change.preset is not UNSET:
        head = replace(head, preset=change.preset or "")
    if change.system is not UNSET:
        head = replace(head, system=_system(change.system))
    if change.metadata is None:
        head = replace(head, metadata={})
    elif change.metadata is not UNSET:
        notes: Mapping[str, str | None] = head.metadata | change.metadata
        head = replace(head, metadata={k: v for k, v in notes.items() if v is not None})
    return head


def _system(given: str | list[dict[str, Any]] | None) -> tuple[Message, ...]:
    """A text, or messages of the roles system and developer."""
    if not given:
        return ()
    if isinstance(given, str):
        return ({"role": "system", "content": given},)
    try:
        asked = CHAT.read(msgspec.json.encode({"messages": given}))
    except InvalidRequest as error:
        raise InvalidRequest(f"system: {error.message}") from None
    if asked.messages:
        at = len(asked.system)
        raise InvalidRequest(f"system: messages[{at}] must be of role system or developer")
    return asked.system


def _told(head: Head) -> dict[str, Any]:
    """A session as the list has it. Times are epoch seconds."""
    branched = {"forked_from": head.forked_from, "forked_at": head.forked_at}
    return {
        "session_id": head.session_id,
        "created_at": head.created_at,
        "updated_at": head.updated_at,
        "model": head.model or None,
        "preset": head.preset or None,
        "message_count": head.messages,
        "metadata": head.metadata,
        **(branched if head.forked_from else {}),
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(transcript.encoded(value), status, media_type="application/json")


def _streamed(
    request: Request, pieces: AsyncIterator[bytes], media_type: str = "application/json"
) -> Response:
    if request.method == "HEAD":
        return Response(headers=LIVE, media_type=media_type)
    return Live(b"", pieces, media_type)


def _id(request: Request) -> str:
    session_id: str = request.path_params["session_id"]
    return session_id


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidRequest(f"{name} must be a whole number, 0 or more")
    return int(text)

"""The conversations that corral keeps: which of them a request goes on with, and that one request at a time does.

1. One writer per session, from before its model is waited for until all is stored. Who comes next waits, in the order of coming, for
   `queueTimeout`; what is remembered of a session's writers goes with the last of them.
2. A request that belongs to no conversation is not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from corral.dialects.body import Asked
from corral.dialects.endpoints import Endpoint
from corral.dialects.turns.shapes import shape_of
from corral.errors import SessionBusy, SessionNotFound
from corral.gateway import incoming, naming
from corral.gateway.exchange import Exchange
from corral.gateway.incoming import Origin
from corral.gateway.inforce import InForce
from corral.gateway.naming import Wanted
from corral.gateway.parking import Parking
from corral.gateway.ports import Body, Headers
from corral.gateway.prompting import Prompting
from corral.gateway.relay import Client, Send
from corral.gateway.stores import Conversations
from corral.gateway.turns import Turn


class Conversing:
    """`store` has the conversations; `parking`, if any, what engines have read of them."""

    def __init__(
        self, inforce: InForce, store: Conversations, parking: Parking | None = None
    ) -> None:
        self.store = store
        self.parking = parking
        self._inforce = inforce
        self._prompting = Prompting(store)
        self._locks: dict[str, asyncio.Lock] = {}
        self._interested: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Conversing: {len(self._locks)} sessions in use>"

    # --- turns -------------------------------------------------------------------------------------------------------

    def wanted(self, endpoint: Endpoint, asked: Asked, headers: Headers) -> Wanted | None:
        """The conversation that a request goes on with; None: it goes on untouched. Raises InvalidRequest."""
        shape = shape_of(endpoint)
        if shape is None:
            return None
        return naming.wanted(asked, headers, self._inforce.config, shape)

    async def is_elsewhere(self, wanted: Wanted) -> bool:
        """It goes on from an answer that its engine may know, and corral does not."""
        return wanted.optional and await self.store.by_response(wanted.previous) is None

    @contextlib.asynccontextmanager
    async def turn(
        self, wanted: Wanted, body: bytes | Body, exchange: Exchange, send: Send, client: Client
    ) -> AsyncIterator[Turn]:
        """The session is this turn's for as long as the block lasts.

        Raises SessionBusy, SessionNotFound for an answer that nobody has given, InvalidRequest, BodyTooLarge.
        """
        async with self._session(wanted, exchange) as (session_id, origin):
            text = await incoming.whole(body)
            came = await incoming.read(self.store, wanted, text, session_id, origin)
            _tell(exchange, came.session_id)
            turn = Turn(
                came,
                self._inforce.config,
                self._prompting,
                self.parking,
                exchange,
                send,
                client,
            )
            try:
                yield turn
            except BaseException:
                await turn.answer.broken_off()
                raise

    @contextlib.asynccontextmanager
    async def _session(
        self, wanted: Wanted, exchange: Exchange
    ) -> AsyncIterator[tuple[str, Origin | None]]:
        """Alone in the session that the turn goes on with; and the answer that it goes on from, which may move to another one meanwhile."""
        origin = await self._origin(wanted.previous) if wanted.previous else None
        session_id = origin.session if origin else wanted.new
        while True:
            _tell(exchange, session_id)
            async with self.alone(session_id):
                if origin:
                    origin = await self._origin(wanted.previous)
                if origin is None or origin.session == session_id:
                    yield session_id, origin
                    return
            session_id = origin.session

    async def _origin(self, response_id: str) -> Origin:
        found = await self.store.by_response(response_id)
        if found is None:
            raise SessionNotFound(
                f"there is no answer {response_id}: it was not kept, or not here; send the conversation without `previous_response_id`"
            )
        return Origin(*found)

    # --- one at a time -----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def alone(self, session_id: str) -> AsyncIterator[None]:
        """Inside the block nobody else writes to the session. Raises SessionBusy when the wait was longer than `queueTimeout`."""
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        self._interested[session_id] += 1
        try:
            await self._locked(session_id, lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            self._interested[session_id] -= 1
            if not self._interested[session_id]:
                del self._interested[session_id], self._locks[session_id]

    async def _locked(self, session_id: str, lock: asyncio.Lock) -> None:
        limit = self._inforce.config.scheduling.queue_timeout
        try:
            async with asyncio.timeout(limit or None):
                await lock.acquire()
        except TimeoutError:
            text = f"session {session_id}: another turn has been under way for more than {limit:g} s; try again when it is over"
            raise SessionBusy(text, retry_after=1) from None


def _tell(exchange: Exchange, session_id: str) -> None:
    exchange.metadata["session_id"] = session_id
    exchange.told = [(b"x-corral-session", session_id.encode())]

"""One turn of a conversation: what a request adds to it, what its engine is asked, what is stored of both.

1. What a client has sent is read and recognised before anything is waited for; what is wrong with it is its fault alone.
2. The prompt is made when the engine is known and loaded, with the lease held: it is made to fit into that engine.
3. Nothing is written of a turn that was not answered. Of one whose answer was cut off, the client's messages and what was said, marked
   partial, or nothing (`sessions.onAbort`).
4. The client's messages are written when a stream begins to answer them, else with the answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from corral.config.model import Config
from corral.dialects.body import JSON
from corral.dialects.turns.shape import Message, Said
from corral.gateway import rewriting, stamp
from corral.gateway.answering import NOT_STORED, Answer, Kept
from corral.gateway.exchange import Exchange
from corral.gateway.incoming import Incoming
from corral.gateway.parking import Parking, Seat
from corral.gateway.ports import Outgoing, Upstream
from corral.gateway.prompting import Answerer, Prompt, Prompting
from corral.gateway.relay import Client, Send
from corral.gateway.stores import Blobs
from corral.sessions.filing import filed, record
from corral.sessions.record import Record


class Turn:
    """`answer` goes between the relay and the client. Fits `answering.Keeper`."""

    def __init__(
        self,
        incoming: Incoming,
        config: Config,
        prompting: Prompting,
        parking: Parking | None,
        exchange: Exchange,
        send: Send,
        client: Client,
    ) -> None:
        self._incoming = incoming
        self._config = config
        self._prompting = prompting
        self._store = prompting.store
        self._parking = parking
        self._exchange = exchange
        self._prompt: Prompt | None = None
        self._begun = False
        self._opened = False
        """What is answered is with the store."""
        self.answer = Answer(incoming.request.shape, self, send, client, exchange)

    def __repr__(self) -> str:
        return f"<Turn of {self._incoming.session_id}: {self.answer!r}>"

    # --- the request -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def asked_of(
        self, upstream: Upstream, model: str, request: Outgoing
    ) -> AsyncIterator[Outgoing]:
        """What to ask this engine; while the block lasts, the turn has its place there. `model` is one of this machine; empty: a peer's.

        Raises ContextTooLong, and InvalidRequest where the body cannot be written anew.
        """
        seat = await self._seat(upstream, model)
        try:
            engine = Answerer(upstream, self._exchange.model, model, self._name(model))
            made = await self._prompting.prompt(self._incoming, self._config, engine, request.body)
            self._prompt = made
            await self._begin()
            changes = made.changes
            if seat:
                changes = replace(changes, fixed={**changes.fixed, "id_slot": b"%d" % seat.slot})
            body = await rewriting.rewritten(request.body, JSON, changes)
            yield replace(request, body=body)
        finally:
            if seat:
                seat.left(self.answer.usage)

    def _name(self, model: str) -> str:
        """The engine's own for it, where it has several."""
        row = self._config.models.get(model)
        return (row.router_model or model) if row and row.router else model

    async def _seat(self, upstream: Upstream, model: str) -> Seat | None:
        if self._parking is None or not model:
            return None
        api = self._incoming.request.shape.name
        return await self._parking.seat(self._incoming.session_id, model, upstream, api)

    async def _begin(self) -> None:
        """Learn, while it can still be told, whether the store takes anything."""
        if self._begun or not self._incoming.request.stores:
            return
        self._begun = True
        incoming = self._incoming
        if incoming.branch:  # there is nothing to write yet
            problem = self._store.trouble
        else:
            problem = await self._store.begin(incoming.head)
        if problem:
            self._exchange.told = (*self._exchange.told, NOT_STORED)

    # --- the store ---------------------------------------------------------------------------------------------------

    async def keep(self, said: Said) -> Kept:
        incoming = self._incoming
        if self._prompt is None or said.message is None or (self._drops and not said.complete):
            if self._begun and incoming.known is None and not self._opened:
                await self._store.undo(incoming.session_id)
            return Kept("", {})
        if not incoming.request.stores:
            return Kept("", self._members(self._prompt))
        answer, blobs = self._answer(said, said.message, self._prompt)
        problem = await self._written([answer], blobs)
        return Kept(problem, self._members(self._prompt))

    async def open(self) -> None:
        if self._incoming.request.stores and not self._drops:
            await self._written([], {})

    @property
    def _drops(self) -> bool:
        return self._config.sessions.on_abort == "drop"

    async def _written(self, answer: list[Record], blobs: Blobs) -> str:
        """Have the client's messages written, unless they are already, and the answer; why they are not on the disk, if so."""
        incoming = self._incoming
        came = incoming.head.updated_at
        after, records = incoming.place.kept, [record(message, came) for message in incoming.new]
        if self._opened:
            after, records = after + len(records), []
        elif problem := await self._branched():
            return problem
        self._opened = True
        head = replace(incoming.head, updated_at=time.time())
        if answer:
            head = replace(head, model=self._exchange.model)
        held = {**incoming.request.blobs, **blobs}
        return await self._store.append(incoming.session_id, after, [*records, *answer], held, head)

    async def _branched(self) -> str:
        """The history leaves what is stored, if it does; why it cannot."""
        branch, done = self._incoming.branch, True
        if branch and branch.cut:
            await self._store.cut(branch.session, branch.at, branch.new)
            head = await self._store.head(branch.session)
            done = head is not None and head.messages == branch.at
        elif branch:
            done = await self._store.fork(branch.session, branch.new, branch.at)
        return "" if done else self._store.trouble or "the history could not be copied"

    def _answer(self, said: Said, message: Message, prompt: Prompt) -> tuple[Record, Blobs]:
        kept, blobs = filed(_joined(self._incoming.prefill, message), time.time())
        answer = replace(
            kept,
            model=self._exchange.model,
            prompt_tokens=said.usage.prompt_tokens or None if said.usage else None,
            answer_tokens=said.usage.output_tokens if said.usage else None,
            prompt_from=prompt.first,
            partial=not said.complete,
            response_id=said.response_id,
        )
        return answer, blobs

    def _members(self, prompt: Prompt) -> Mapping[str, object]:
        return stamp.members(self._incoming, prompt, self._exchange.model, self._config.format)


def _joined(prefill: Message | None, answer: Message) -> Message:
    """The answer with the beginning that its client has given."""
    if prefill is None:
        return answer
    begun, said = prefill.get("content"), answer.get("content")
    if isinstance(begun, str) and isinstance(said, str):
        return {**answer, "content": begun + said}
    return answer

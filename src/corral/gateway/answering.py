"""An answer to a turn of a conversation, on its way to the client: read as it goes by, its end held back until the turn is stored.

Laws:
1. A stream goes through piece by piece, from the read callback, up to what tells the client that it is whole: that waits for the store, and
   for nothing else.
2. A plain JSON answer of status 200 is held until it is whole, then stored, stamped, and sent; until then the client has nothing, and may
   still get an error. One of more than `LONGEST` bytes, or of another kind, goes through as it is.
3. Any other status is nobody's turn: it passes, and nothing is stored.
4. A turn is stored once: at its end, or when it is broken off. Who breaks it off waits for that, `PATIENCE` seconds at most. What a stream
   answers is stored when the stream begins: should corral itself be killed, only the answer is lost.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from corral.dialects.turns.ending import Ending, Parted
from corral.dialects.turns.shape import Collector, Said, Shape
from corral.dialects.turns.stamping import stamped
from corral.dialects.usage import Usage
from corral.errors import CorralError, UpstreamTimeout
from corral.gateway.exchange import Exchange
from corral.gateway.ports import Headers
from corral.gateway.relay import Client, ClientLeft, Message, Send, Tap, within_idle
from corral.wire.headers import find, media_type

LONGEST: Final = 64 * 2**20
"""Bytes of a plain answer that are held."""
PATIENCE: Final = 10.0
"""Seconds that a request which is being ended waits for its turn to be stored."""
NOT_STORED: Final = (b"x-corral-session-stored", b"no")
_BLANK: Final = re.compile(rb"\n\r?\n|\r\r")
"""What ends an event."""
_STREAM: Final = b"text/event-stream"

log = logging.getLogger("corral.conversations")


class Kept(NamedTuple):
    """What became of a turn: why it is not stored, if so, and what a plain answer tells about it."""

    problem: str
    members: Mapping[str, object]


class Keeper(Protocol):
    """Who writes the turn down."""

    async def open(self) -> None:
        """A stream has begun. Called once at most, and `keep` when it has returned."""
        ...

    async def keep(self, said: Said) -> Kept:
        """Called once, when the answer is over or broken off: nothing may have been said."""
        ...


@dataclass(slots=True)
class _Whole:
    """A plain answer that is held."""

    status: int
    headers: Headers
    body: list[bytes]
    size: int = 0


class Answer:
    """Goes between the relay and the client, and is to the relay all three: `send`, `Client` and `Tap`."""

    def __init__(
        self, shape: Shape, keeper: Keeper, send: Send, client: Client, exchange: Exchange
    ) -> None:
        self._idle = 0.0
        self._shape = shape
        self._keeper = keeper
        self._send = send
        self._client = client
        self._exchange = exchange
        self._collector: Collector | None = None
        self._last = Said(None, complete=False)
        """What was said when it was last asked for."""
        self._whole: _Whole | None = None
        self._streams = False
        self._ending: Ending | None = None
        """Of a stream, as long as its end has not come."""
        self._held: list[Message] = []
        """The end of a stream."""
        self._opening: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[Kept] | None = None
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        kept = "stored" if self._keeping else "not stored yet"
        return f"<Answer to {self._exchange.request_id}: {kept}>"

    @property
    def usage(self) -> Usage | None:
        """Of a whole answer."""
        said = self._said()
        return said.usage if said.complete else None

    # --- relay.Tap ---------------------------------------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        self._open(status, headers)
        if not self._whole:
            self._exchange.head(status, headers)

    def chunk(self, piece: bytes) -> None:
        if self._collector:
            self._collector.feed(piece)
            if self._streams and not self._opening:
                self._opening = asyncio.create_task(
                    self._keeper.open(), name="conversation: storing what is answered"
                )
        if not self._whole:
            self._exchange.chunk(piece)

    def called_off(self) -> CorralError | None:
        return self._exchange.called_off()

    # --- relay.Client ------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self._client.paused

    def finished(self) -> None:
        self._client.finished()

    def cut(self) -> None:
        if not self._whole:  # else the client has nothing yet, and gets an error
            self._client.cut()

    # --- relay.Send --------------------------------------------------------------------------------------------------

    def listening(self, idle: float, *, begun: bool) -> tuple[Send, Client, Tap]:
        """For the relay. `begun`: the client has its head already, 200 and an event stream."""
        self._idle = idle
        if begun:
            self._read(_STREAM)
        return self.send, self, self

    async def send(self, message: Message) -> None:
        """As the client's own; never suspends where that would not."""
        if message["type"] == "http.response.start":
            self._open(message["status"], message["headers"])
            if not self._whole:
                await self._send(message)
        elif self._whole:
            await self._gather(self._whole, message)
        elif self._held or self._is_closing:
            self._held.append(message)
            self._look()
        elif self._collector is None:
            await self._send(message)
        else:
            await self._pass_on(message)

    def _open(self, status: int, headers: Headers) -> None:
        """An answer begins. It is shown here before it is handed to the client, or after that: a slow one makes the difference."""
        if status != 200 or self._collector:
            return
        kind = find(headers, b"content-type") or b""
        encoding = find(headers, b"content-encoding") or b""
        plain = encoding.lower() in (b"", b"identity")
        self._read(kind, encoding, plain=plain)
        if plain and media_type(kind) == b"application/json":
            self._whole = _Whole(status, headers, [])

    def _read(self, kind: bytes, encoding: bytes = b"", *, plain: bool = True) -> None:
        self._collector = self._shape.collector(kind.decode("latin-1"), encoding.decode("latin-1"))
        self._streams = media_type(kind) == _STREAM
        self._ending = Ending(self._shape.ends) if plain and self._streams else None

    async def _gather(self, whole: _Whole, message: Message) -> None:
        piece = message.get("body", b"")
        whole.body.append(piece)
        whole.size += len(piece)
        if whole.size > LONGEST:
            self._whole = None
            await self._give(whole, b"".join(whole.body), more=True)

    async def _pass_on(self, message: Message) -> None:
        """A piece of an answer, but for the line that tells that it is whole, and for its very end: the rest from there on is held."""
        piece, more = message.get("body", b""), message.get("more_body", False)
        before, end = self._ending.feed(piece, more=more) if self._ending else Parted(piece, b"")
        if end or not more:
            self._held.append({**message, "body": end})
        if before:
            await self._send({**message, "body": before, "more_body": True})
        if end and more:
            self._look()

    def _look(self) -> None:
        """See what it is that is held, once it is a whole event. The engine may take its time to end the body."""
        held = b"".join(message.get("body", b"") for message in self._held)
        if not self._is_closing and _BLANK.search(held):
            name = "conversation: the end of an answer"
            self._closing = asyncio.create_task(self._close(), name=name)
            self._closing.add_done_callback(_looked_at)

    @property
    def _is_closing(self) -> bool:
        return self._closing is not None and not self._closing.done()

    # --- the end -----------------------------------------------------------------------------------------------------

    async def finish(self, error: CorralError | None) -> None:
        """The relay is done; `error` is why it cut the answer. Raises that while the client has nothing, and ClientLeft."""
        whole, said = self._whole, self._said()
        if whole and error:
            self._whole = None
            raise error
        if self._closing:
            await asyncio.shield(self._closing)
        kept = await self._kept(said)
        if whole:
            await self._stamp(whole, kept)
        elif not error:
            await self._let_go()

    async def broken_off(self) -> None:
        """The request ends here, by an error or because it was cancelled."""
        if self._keeping is None:
            self._keep(self._said())
        tasks = {task for task in (self._keeping, self._closing) if task}
        await asyncio.wait(tasks, timeout=PATIENCE)

    async def _close(self) -> None:
        """A stream has told that it is whole."""
        said = self._said()
        if said.complete:  # else it was but a line that looked like it
            self._ending = None
            await self._kept(said)
        await self._let_go()

    async def _let_go(self) -> None:
        while self._held:
            await self._hand(self._held.pop(0))

    async def _hand(self, message: Message) -> None:
        """To the client, after the relay. Raises ClientLeft, also for one that takes nothing: then it is cut."""
        try:
            await within_idle(self._send, message, self._client, self._idle)
        except UpstreamTimeout as error:
            self._exchange.error = error.message
            self._client.cut()
            raise ClientLeft from error
        except OSError as error:  # as in the relay
            raise ClientLeft from error

    async def _stamp(self, whole: _Whole, kept: Kept) -> None:
        told = [header for header in whole.headers if header != NOT_STORED]
        whole.headers = [*told, NOT_STORED] if kept.problem else told
        body = stamped(b"".join(whole.body), kept.members)
        self._whole = None
        await self._give(whole, body, more=False)

    async def _give(self, whole: _Whole, body: bytes, *, more: bool) -> None:
        headers = whole.headers
        if not more:
            headers = [header for header in headers if header[0] != b"content-length"]
            headers.append((b"content-length", b"%d" % len(body)))
        self._exchange.head(whole.status, headers)
        start = {"type": "http.response.start", "status": whole.status, "headers": headers}
        await self._hand(start)
        await self._hand({"type": "http.response.body", "body": body, "more_body": more})
        self._exchange.chunk(body)

    # --- storing -----------------------------------------------------------------------------------------------------

    def _said(self) -> Said:
        if self._collector and not self._last.complete:
            self._last = self._collector.said()
        return self._last

    async def _kept(self, said: Said) -> Kept:
        return await asyncio.shield(self._keep(said))

    def _keep(self, said: Said) -> asyncio.Task[Kept]:
        """The one task that stores the turn: it goes on when the request is cancelled."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(
                self._kept_last(said), name="conversation: storing a turn"
            )
        return self._keeping

    async def _kept_last(self, said: Said) -> Kept:
        try:
            if self._opening:
                await self._opening
            return await self._keeper.keep(said)
        except Exception:  # it must not cost the client its answer
            log.exception("request %s: its turn is not stored", self._exchange.request_id)
            return Kept("corral failed to store it; its log says why", {})


def _looked_at(closing: asyncio.Task[None]) -> None:
    """Else asyncio complains of a client that left when nobody waits for its answer's end any more."""
    if not closing.cancelled():
        closing.exception()

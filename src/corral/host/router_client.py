"""What a llama-server in router mode is asked, and what it tells.

1. `autoload=false` stands in every question: asking loads nothing.
2. Its list of models is the only truth. An event is a reason to look at it again, and so is the loss of the stream of events, and its return:
   events come without a snapshot, under two names, and on another connection than the answers.
3. Where there are no events the list is read again and again.
4. What it refuses (`already running`, `not running`) is not an error here: whoever asked looks at the list.
5. What is not answered soon is asked again. Of two connections that come at once, llama-server may forget one, until another ends or a
   new one comes (seen: one in three hundred). So none of ours is kept, and a new one comes often.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from corral.errors import CorralError, UpstreamInvalid, UpstreamTimeout
from corral.host.connection import Flow
from corral.host.upstream import Engine
from corral.wire.headers import Headers
from corral.wire.pairs import encode
from corral.wire.sse import Parser

CONNECT: Final = 5.0
"""Seconds to connect."""
PATIENCE: Final = (1.0, 9.0, 20.0)
"""Seconds for an answer, the first time, the second, and the last: an order to load may have to wait ten for another model to go."""
GLANCE: Final = 0.1
"""Seconds from one look at the list to the next, where there are no events."""
REASSURANCE: Final = 2.0
"""... and where there are: an event that never came costs that much, and a request that was forgotten (law 5)."""
AGAIN: Final = 0.5
"""Seconds before the stream of events is asked for again."""
LONGEST: Final = 32 * 2**20
"""Bytes of an answer that are read."""

_EVERY: Final = ("", "*")
"""What an event names that is about all models."""
_RUNNING: Final = frozenset({"loading", "loaded", "sleeping"})
_UP: Final = frozenset({"loaded", "sleeping"})


@dataclass(frozen=True, slots=True)
class Standing:
    """A model as the router has it. `id` is its name there; asked for by an alias, it is not what was asked for."""

    id: str
    value: str
    """unloaded, loading, loaded, sleeping; downloading and downloaded, too."""
    exit_code: int | None = None
    port: str = ""
    """That its own server was given, "" when it never had one."""

    @property
    def running(self) -> bool:
        """Its server is there: it takes memory."""
        return self.value in _RUNNING

    @property
    def up(self) -> bool:
        """It answers requests."""
        return self.value in _UP

    @property
    def failed(self) -> bool:
        """It is gone, and not because somebody asked for that."""
        return not self.running and bool(self.exit_code)


@dataclass(frozen=True, slots=True)
class _Question:
    """Fits `upstream.Request`."""

    method: bytes
    target: bytes
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method.decode()} {self.target.partition(b'?')[0].decode()}"

    @property
    def headers(self) -> Headers:
        """JSON both ways."""
        told: Headers = [(b"user-agent", b"corral"), (b"connection", b"close")]
        return [*told, (b"content-type", b"application/json")] if self.body else told


_LIST: Final = _Question(b"GET", b"/models?autoload=false")
_EVENTS: Final = _Question(b"GET", b"/models/sse?autoload=false")


class RouterClient:
    """Asks one router. `listen` has to run meanwhile, for `until` to be quick.

    What is not said otherwise raises UpstreamUnreachable, UpstreamTimeout or UpstreamInvalid.
    """

    def __init__(self, url: str, name: str) -> None:
        self._engine = Engine(url, name=f"router {name}")
        self._name = name
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.hears = False
        """The stream of events is there."""

    def __repr__(self) -> str:
        return f"<RouterClient {self._engine!r}, {'with' if self.hears else 'without'} events>"

    async def models(self) -> dict[str, Standing]:
        """What the router has, by id and by alias."""
        answer = await self._asked(_LIST)
        try:
            entries = _listing(answer.text).data
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise UpstreamInvalid(
                f"router {self._name} answered {answer.status} to GET /models, and no list with states ({error}): is it a "
                "llama-server in router mode?"
            ) from error
        return {name: _standing(one) for one in entries for name in one.names}

    async def load(self, model: str) -> str:
        """Ask for it; why not, "" when the router does it."""
        return await self._ordered(b"/models/load", model)

    async def unload(self, model: str) -> str:
        """Ask for its end; why not, "" when the router does it."""
        return await self._ordered(b"/models/unload", model)

    async def busy(self, model: str) -> bool:
        """Whether the server of a loaded model has a request in work; False when it does not tell.

        It is the loop that does the work which answers this. Told to end while it works, or before it does, a server hangs, and the
        router looks on for ten seconds.
        """
        question = _Question(b"GET", b"/slots?autoload=false&model=" + encode(model))
        try:
            answer = await self._asked(question)
            return any(slot.is_processing for slot in _slots(answer.text))
        except UpstreamTimeout:
            return True
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            return False

    async def until(self, model: str, holds: Callable[[Standing], bool]) -> Standing:
        """How `model` stands, as soon as that `holds`; a model that the router has lost is `unloaded`. Who waits sets the limit.

        `model` is an id of the router's, not an alias. A router that takes its time to answer is asked again.
        """
        while True:
            news = self._news(model)
            try:
                standing = (await self.models()).get(model) or Standing(model, "unloaded")
                if holds(standing):
                    return standing
                await asyncio.wait([news], timeout=REASSURANCE if self.hears else GLANCE)
            except UpstreamTimeout:
                continue
            finally:
                self._waiting[model].discard(news)

    async def listen(self) -> None:
        """Follow the router's events for ever."""
        while True:
            stream = _Stream(self)
            with contextlib.suppress(CorralError):  # whoever waits meets the reason at the list
                await self._engine.exchange(_EVENTS, stream, connect=CONNECT, idle=0)
            self.heard("*", hears=False)
            await asyncio.sleep(AGAIN)

    def heard(self, model: str, *, hears: bool = True) -> None:
        """Something about `model` has changed."""
        self.hears = hears
        waiting = self._waiting.values() if model in _EVERY else [self._waiting.get(model, set())]
        for news in [one for some in waiting for one in some]:
            if not news.done():
                news.set_result(None)

    async def aclose(self) -> None:
        await self._engine.aclose()

    def _news(self, model: str) -> asyncio.Future[None]:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(model, set()).add(news)
        return news

    async def _ordered(self, path: bytes, model: str) -> str:
        body = msgspec.json.encode({"model": model})
        answer = await self._asked(_Question(b"POST", path + b"?autoload=false", body))
        if answer.status == 200:
            return ""
        try:
            return _complaint(answer.text).error.message
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            return f"it answered {answer.status}"

    async def _asked(self, question: _Question) -> _Whole:
        for seconds in PATIENCE:
            answer = _Whole(self._name)
            try:
                await self._engine.exchange(question, answer, connect=CONNECT, idle=seconds)
            except UpstreamTimeout:
                continue
            return answer
        raise UpstreamTimeout(f"router {self._name} does not answer {question}")


# --- what comes back ---


class _Status(msgspec.Struct):
    value: str
    args: list[str] = []
    exit_code: int | None = None


class _Entry(msgspec.Struct):
    id: str
    status: _Status
    aliases: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.aliases, self.id)


class _Listing(msgspec.Struct):
    data: list[_Entry]


class _Error(msgspec.Struct):
    message: str


class _Complaint(msgspec.Struct):
    error: _Error


class _Event(msgspec.Struct):
    model: str = "*"


class _Slot(msgspec.Struct):
    is_processing: bool = False


_listing = msgspec.json.Decoder(_Listing).decode
_slots = msgspec.json.Decoder(list[_Slot]).decode
_complaint = msgspec.json.Decoder(_Complaint).decode
_event = msgspec.json.Decoder(_Event).decode


def _standing(entry: _Entry) -> Standing:
    args = entry.status.args
    port = args[args.index("--port") + 1] if "--port" in args[:-1] else ""
    return Standing(entry.id, entry.status.value.lower(), entry.status.exit_code, port)


class _Whole:
    """An answer, kept whole. Raises UpstreamInvalid when it is too long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces: list[bytes] = []
        self._size = 0
        self.status = 0

    @property
    def text(self) -> bytes:
        return b"".join(self._pieces)

    def head(self, status: int, headers: Headers, flow: Flow) -> None:  # noqa: ARG002 - the port's
        self.status = status

    def body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > LONGEST:
            raise UpstreamInvalid(f"router {self._name}: more than {LONGEST >> 20} MiB of answer")
        self._pieces.append(chunk)


class _Stream:
    """The stream of events, turned into calls of `heard`."""

    def __init__(self, client: RouterClient) -> None:
        self._client = client
        self._parser = Parser()
        self._good = False

    def head(self, status: int, headers: Headers, flow: Flow) -> None:  # noqa: ARG002 - the port's
        self._good = status == 200
        if self._good:  # what changed before is in no event
            self._client.heard("*")

    def body(self, chunk: bytes) -> None:
        if not self._good:
            return
        for event in self._parser.feed(chunk):
            try:
                self._client.heard(_event(event.data).model)
            except (msgspec.DecodeError, msgspec.ValidationError):
                self._client.heard("*")

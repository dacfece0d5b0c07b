"""An engine's answer, passed on to the client as it comes.

Laws:
1. A chunk goes to `send` from the upstream's read callback: no queue, no task to wake.
2. When the client is slow (`Client.paused`) the upstream is paused, and a task hands over what had already been read: one read's worth.
3. Before the head has been handed over, a failure is raised; after it, the client gets the dialect's event where the answer is an event
   stream, and the connection is cut without an end, so that nobody takes the half for the whole.
4. No wait for a client is longer than `idle`.
5. An answer may have begun already, as an event stream that told of a load: then the engine's own head is kept back, and whatever is no
   event stream becomes a failure after the head.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, MutableMapping
from dataclasses import replace
from typing import Any, Protocol

from corral.dialects.usage import UsageTap
from corral.errors import CorralError, UpstreamInvalid, UpstreamRefused, UpstreamTimeout
from corral.gateway.ports import Flow, Headers, Outgoing, Upstream
from corral.wire.headers import answer_headers, content_length, find, media_type

Message = MutableMapping[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]

_NO_BODY = (204, 304)
_STREAM = b"text/event-stream"


class ClientLeft(Exception):  # noqa: N818  nobody did wrong
    """The client is gone: there is nobody to answer."""


class Client(Protocol):
    """The other end of a request."""

    @property
    def paused(self) -> bool:
        """True when `send` might suspend; it never does while this is False."""
        ...

    def finished(self) -> None:
        """The answer's last piece is about to be sent: what the client does now no longer matters."""
        ...

    def cut(self) -> None:
        """End the connection after what has been sent, without ending the answer."""
        ...


class Tap(Protocol):
    """Who sees the answer, right after it was handed over. Called from the upstream's read callback: must be quick."""

    def head(self, status: int, headers: Headers) -> None: ...

    def chunk(self, piece: bytes) -> None: ...

    def called_off(self) -> CorralError | None:
        """Why the relay is being cancelled, if the client is to be told; asked once for each cancellation."""
        ...


async def relay(
    send: Send,
    upstream: Upstream,
    request: Outgoing,
    client: Client,
    *,
    extra_headers: Headers | None,
    connect: float,
    idle: float,
    on_failure: Callable[[CorralError], bytes | None],
    tap: Tap | None = None,
) -> CorralError | None:
    """Send `request` to the engine and its answer to the client; returns why the answer was cut, None when it is whole.

    `extra_headers` (lower case) replace the engine's of the same name; None: the client has its head already, 200 and an event stream.
    `on_failure` gives the in-stream error event, or None. `tap` sees what was handed over. Raises what `Upstream.exchange` raises when
    nothing has been sent, and ClientLeft. Cancelling it closes the engine's connection at once.
    """
    if extra_headers is None:
        answer: _Passage = _Rest(send, client, [], idle, tap)
        request = replace(request, headers=_unencoded(request.headers))
    else:
        answer = _Passage(send, client, extra_headers, idle, tap)
    try:
        await upstream.exchange(request, answer, connect=connect, idle=idle)
        if answer.status:  # else there was no answer: the engine has switched protocols
            await answer.finish()
    except CorralError as error:
        if not answer.status:
            raise
        await answer.break_off(error, on_failure)
        return error
    except asyncio.CancelledError:
        called_off = tap.called_off() if tap else None
        if not called_off:
            raise
        if not answer.status:
            raise called_off from None
        await answer.break_off(called_off, on_failure)
        return called_off
    except OSError as error:  # ASGI 2.4: what `send` raises once the client is gone
        raise ClientLeft from error
    finally:
        if answer.carrier:
            answer.carrier.cancel()
    return None


async def broken_off(
    send: Send,
    client: Client,
    error: CorralError,
    *,
    idle: float,
    on_failure: Callable[[CorralError], bytes | None],
) -> None:
    """End an answer that has begun and to which no engine will add: the dialect's event, then the cut."""
    answer = _Rest(send, client, [], idle, None)
    await answer.break_off(error, on_failure)


async def within_idle(send: Send, message: Message, client: Client, idle: float) -> None:
    """Send it, waiting for the client for `idle` seconds at most (0: for ever). Raises UpstreamTimeout."""
    if not client.paused:
        return await send(message)
    try:
        async with asyncio.timeout(idle or None):
            await send(message)
    except TimeoutError:
        raise UpstreamTimeout(f"the client took nothing for {idle:g} s") from None


def _unencoded(headers: Headers) -> Headers:
    """A request's headers for an answer whose head, which is out, names no encoding."""
    return [header for header in headers if header[0] != b"accept-encoding"]


class _Passage:
    """`ports.Answer` on the engine's side, `send` on the client's."""

    __slots__ = (
        "_client",
        "_extra",
        "_finished",
        "_flow",
        "_idle",
        "_left",
        "_owed",
        "_send",
        "_stream",
        "_tap",
        "carrier",
        "status",
    )

    _flow: Flow

    def __init__(
        self,
        send: Send,
        client: Client,
        extra: Headers,
        idle: float,
        tap: Tap | None,
    ) -> None:
        self._send = send
        self._client = client
        self._extra = extra
        self._idle = idle
        self._tap = tap
        self._left = -1  # bytes still to come of a declared length; negative when none was declared
        self._stream = False
        self._finished = False
        self._owed: deque[Message] = deque()
        self.carrier: asyncio.Task[None] | None = None
        self.status = 0

    # --- ports.Answer ---

    def head(self, status: int, headers: Headers, flow: Flow) -> None:
        self.status = status
        self._flow = flow
        passed = self._headers(status, headers)
        self._hand({"type": "http.response.start", "status": status, "headers": passed})
        if self._tap:
            self._tap.head(status, passed)

    def body(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left == 0:
            self._finished = True
            self._client.finished()
        self._hand({"type": "http.response.body", "body": chunk, "more_body": not self._finished})
        if self._tap:
            self._tap.chunk(chunk)

    def _headers(self, status: int, headers: Headers) -> Headers:
        passed = answer_headers(headers)
        if self._extra:
            replaced = {name for name, _ in self._extra}
            passed = [header for header in passed if header[0] not in replaced] + self._extra
        length = content_length(passed)
        if (
            length is not None and status in _NO_BODY
        ):  # RFC 9110 8.6; ASGI servers would wait for it
            passed = [header for header in passed if header[0] != b"content-length"]
        elif length is not None:
            self._left = length
        if media_type(find(passed, b"content-type")) == _STREAM:
            self._stream = True
            if find(passed, b"x-accel-buffering") is None:  # llama-server says it itself
                passed.append((b"x-accel-buffering", b"no"))
        return passed

    # --- the end ---

    async def finish(self) -> None:
        await self._settled()
        if not self._finished:
            self._client.finished()
            await self._within_idle({"type": "http.response.body", "body": b"", "more_body": False})

    async def break_off(
        self, error: CorralError, on_failure: Callable[[CorralError], bytes | None]
    ) -> None:
        """The event, for a client that still takes something, then the cut."""
        event = on_failure(error) if self._stream and self._left < 0 else None
        try:
            if not (isinstance(error, UpstreamTimeout) and self.carrier):
                await self._settled()
                if event:
                    await self._within_idle(
                        {"type": "http.response.body", "body": event, "more_body": True}
                    )
        except (CorralError, OSError):
            pass  # it takes nothing, or is gone: the cut is all that is left
        finally:
            self._client.cut()

    # --- handing over ---

    def _hand(self, message: Message) -> None:
        if self.carrier or self._client.paused:
            self._owe(message)
            return
        sending = self._send(message)
        try:
            sending.send(None)
        except StopIteration:
            return
        sending.close()
        raise RuntimeError("send suspended although the client was not paused")

    def _owe(self, message: Message) -> None:
        self._owed.append(message)
        if not self.carrier:
            self._flow.pause()
            self.carrier = asyncio.create_task(self._carry(), name="relay: a slow client")
        elif self.carrier.done():  # it failed
            self.carrier.result()

    async def _carry(self) -> None:
        while self._owed:
            await self._within_idle(self._owed.popleft())
        self.carrier = None
        self._flow.resume()

    async def _settled(self) -> None:
        if self.carrier:
            await self.carrier

    async def _within_idle(self, message: Message) -> None:
        await within_idle(self._send, message, self._client, self._idle)


class _Rest(_Passage):
    """The rest of an event stream whose head the client has. What is no event stream is read for its reason, and is a failure."""

    __slots__ = ("_refusal", "_refused")

    _refused: int

    def __init__(
        self, send: Send, client: Client, extra: Headers, idle: float, tap: Tap | None
    ) -> None:
        super().__init__(send, client, extra, idle, tap)
        self._refusal: UsageTap | None = None
        self._stream = True
        self.status = 200

    def head(self, status: int, headers: Headers, flow: Flow) -> None:
        self._flow = flow
        kind = find(headers, b"content-type") or b""
        encoding = find(headers, b"content-encoding") or b""
        if status != 200:
            self._refusal = UsageTap(kind.decode("latin-1"), encoding.decode("latin-1"))
            self._refused = status
        elif media_type(kind) != _STREAM or encoding.lower() not in (b"", b"identity"):
            told = b" ".join(filter(None, (encoding, kind or b"something without a type")))
            raise UpstreamInvalid(
                f"the engine answered {told.decode('latin-1')}, where an event stream was asked for"
            )

    def body(self, chunk: bytes) -> None:
        if self._refusal is None:
            super().body(chunk)
        else:
            self._refusal.feed(chunk)

    async def finish(self) -> None:
        if self._refusal is None:
            return await super().finish()
        reason = self._refusal.error()
        raise UpstreamRefused(reason or f"the engine answered {self._refused}, without a reason")

"""The life of a request, in order: find the model's name, see where it leads, rewrite what must be, lease the model, relay.

1. The body's bytes go to the engine untouched unless a filter or another name for the model changes them; then only that is rewritten.
2. Leaving the lease - answered, failed, or the client gone - is what ends the request for the scheduler; nothing else counts.
3. What goes wrong before the answer's first byte is raised; after it, the relay tells the client inside the answer.
4. A peer that is down costs a selector's request nothing but the try: the next target answers.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from corral.config.catalog import Target
from corral.config.model import Config
from corral.config.relaying import Timeouts
from corral.dialects import body as bodies
from corral.dialects.body import Layout
from corral.dialects.endpoints import Endpoint
from corral.dialects.filters import Rewrite
from corral.errors import (
    CorralError,
    ModelNotFound,
    ModelNotLoaded,
    ModelRequired,
    ShuttingDown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from corral.gateway import loading, naming, rewriting
from corral.gateway.conversations import Conversing
from corral.gateway.engine import Engine
from corral.gateway.exchange import Exchange
from corral.gateway.inforce import InForce
from corral.gateway.loading import Banner
from corral.gateway.ports import Body, Headers, Outgoing, Peers, Upstream
from corral.gateway.relay import Client, Send, Tap, relay
from corral.gateway.routing import Choice, Routing
from corral.gateway.tunnel import tunnel
from corral.gateway.turns import Turn
from corral.scheduler.machine import State
from corral.wire.headers import find

log = logging.getLogger("corral.inference")

_DOWN = (UpstreamUnreachable, UpstreamTimeout)


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a model, as it came. `headers` are the ones to pass on; `query` is raw, without its question mark."""

    method: bytes
    query: bytes
    headers: Headers
    body: bytes | Body
    exchange: Exchange
    """What is noted about it, filled in on the way."""
    on_failure: Callable[[CorralError], bytes | None]
    """The caller's dialect's in-stream error event."""
    websocket: bool = False
    """It asks for one."""
    turn: Turn | None = None
    """The conversation that it goes on with, if corral keeps one."""


class Inference:
    """Serves the requests that name a model."""

    def __init__(
        self,
        inforce: InForce,
        engine: Engine,
        routing: Routing,
        peers: Peers,
        conversations: Conversing,
    ) -> None:
        self._inforce = inforce
        self._conversations = conversations
        self._engine = engine
        self._routing = routing
        self._peers = peers
        self._rewrites: dict[tuple[str, str], Rewrite] = {}
        self._priorities: dict[str, str] = {}
        inforce.watch(self._compile)

    def _compile(self, config: Config) -> None:
        """A rewrite for every target, and what is noted of its priority: work that no request should do."""
        self._rewrites = {
            ("", model): Rewrite(row.filters, row.use_model_name)
            for model, row in config.models.items()
        } | {
            (peer, model): Rewrite(row.filters, model)
            for peer, row in config.peers.items()
            for model in row.models
        }
        queue = config.scheduling
        named = config.models if queue.use == "fifo" else ()
        self._priorities = {model: str(queue.priority.get(model, 0)) for model in named}

    async def serve(
        self, call: Call, endpoint: Endpoint, send: Send, client: Client
    ) -> CorralError | None:
        """Answer a request on a model route. Raises InvalidRequest, ModelNotFound, and what `relayed` raises."""
        content_type = (find(call.headers, b"content-type") or b"").decode("latin-1")
        layout = bodies.layout(endpoint.named, content_type)
        named_in = call.query if endpoint.named == "query" else call.body
        asked = await rewriting.asked(named_in, layout, self._default(call, layout))
        call.exchange.requested, call.exchange.stream = asked.model, asked.stream
        wanted = self._conversations.wanted(endpoint, asked, call.headers)
        if wanted is None or await self._conversations.is_elsewhere(wanted):
            return await self._chosen(asked.model, layout, call, endpoint, send, client)
        async with self._conversations.turn(wanted, call.body, call.exchange, send, client) as turn:
            own = replace(call, turn=turn, headers=naming.passed_on(call.headers))
            error = await self._chosen(asked.model, layout, own, endpoint, send, client)
            await turn.answer.finish(error)
            return error

    async def _chosen(
        self,
        name: str,
        layout: Layout,
        call: Call,
        endpoint: Endpoint,
        send: Send,
        client: Client,
    ) -> CorralError | None:
        """By a target that this name leads to."""
        await self._routing.certain(name)
        with self._routing.choose(name) as choice:
            if choice.selector:
                call.exchange.metadata["selector"] = choice.selector
            return await self._tried(choice, layout, call, endpoint, send, client)

    def _default(self, call: Call, layout: Layout) -> str | None:
        """The model of a body that names none: beside a form the query may name it."""
        default = self._inforce.config.default_model
        if layout.kind == "json" or not call.query:
            return default
        with contextlib.suppress(ModelRequired):
            default = bodies.read(call.query, bodies.URLENCODED, default).model
        return default

    async def _tried(
        self,
        choice: Choice,
        layout: Layout,
        call: Call,
        endpoint: Endpoint,
        send: Send,
        client: Client,
    ) -> CorralError | None:
        """By the first target that is not a peer that turns out to be down."""
        path = endpoint.upstream.encode()
        for target in choice:
            fitted = await self._fitted(call, target, layout, endpoint)
            try:
                return await self.relayed(target, path, fitted, send, client)
            except _DOWN as error:
                if not target.peer or target is choice.last:
                    raise
                log.warning("%s: %s; trying the next target", choice.selector, error.message)
        raise AssertionError("a choice has a target")

    async def _fitted(self, call: Call, target: Target, layout: Layout, endpoint: Endpoint) -> Call:
        """The call as its target is to get it."""
        name = target.model if target.peer else target.name
        chosen = name if name != call.exchange.requested else ""
        changes = self._rewrite(target).changes(name, model=chosen)
        if changes is None:
            return call
        if endpoint.named == "query":
            return replace(call, query=changes.apply(call.query, layout))
        return replace(call, body=await rewriting.rewritten(call.body, layout, changes))

    def _rewrite(self, target: Target) -> Rewrite:
        """Raises ModelNotFound: a reload may have taken the target away since it was chosen."""
        try:
            return self._rewrites[target.peer, target.model]
        except KeyError:
            text = f"no model {target.listed}: it was removed from the configuration"
            raise ModelNotFound(text) from None

    async def relayed(
        self, target: Target, path: bytes, call: Call, send: Send, client: Client
    ) -> CorralError | None:
        """Pass a request on to `path` at its target, loading the model first if it is one of this machine and must be.

        Raises what the scheduler refuses with, and UpstreamUnreachable, UpstreamInvalid or UpstreamTimeout before the first byte.
        """
        self._rewrite(target)
        call.exchange.model = target.listed
        location = path + b"?" + call.query if call.query else path
        request = Outgoing(call.method, location, call.headers, call.body)
        if target.peer:
            error = await self._to_peer(target, request, call, send, client)
        else:
            error = await self._to_model(target.model, request, call, send, client)
        if error:
            call.exchange.error = error.message
        return error

    async def _to_model(
        self, model: str, request: Outgoing, call: Call, send: Send, client: Client
    ) -> CorralError | None:
        settings = self._inforce.config.models[model]
        timeouts = settings.timeouts
        exchange = call.exchange
        if call.websocket and settings.compat.ignore_websockets:
            upstream = self._ready(model)
            return await _carried(upstream, model, request, call, send, client, timeouts)
        lease = self._engine.lease(model, caller=exchange.caller)

        async def passed(banner: Banner | None = None) -> CorralError | None:
            async with lease:
                exchange.queue_ms, exchange.load_ms = lease.queue_ms, lease.load_ms
                if priority := self._priorities.get(model):
                    exchange.metadata["fifo_priority"] = priority
                begun = banner is not None and await banner.over()
                return await _carried(
                    lease.upstream, model, request, call, send, client, timeouts, begun=begun
                )

        banner = None
        if settings.send_loading_state:
            banner = loading.banner(self._engine, lease, exchange, send, client, timeouts.idle)
        return await (banner.through(passed, call.on_failure) if banner else passed())

    def _ready(self, model: str) -> Upstream:
        """Where a model answers that no WebSocket may wake, nor keep (`compat.ignoreWebsockets`)."""
        if self._engine.machine.state(model) is not State.READY:
            raise ModelNotLoaded(
                f"{model} is not loaded, and a WebSocket does not load it (`compat.ignoreWebsockets`)"
            )
        return self._engine.processes.upstream(model)

    async def _to_peer(
        self, target: Target, request: Outgoing, call: Call, send: Send, client: Client
    ) -> CorralError | None:
        if self._engine.closing:
            raise ShuttingDown("corral is shutting down")
        timeouts = self._inforce.config.peers[target.peer].timeouts
        upstream = self._peers.upstream(target.peer)
        return await _carried(upstream, "", request, call, send, client, timeouts)


async def _carried(
    upstream: Upstream,
    model: str,
    request: Outgoing,
    call: Call,
    send: Send,
    client: Client,
    timeouts: Timeouts,
    *,
    begun: bool = False,
) -> CorralError | None:
    """The request passed on, and its answer. `model` is one of this machine, empty for a peer's; `begun`: the client has its head already."""
    turn = call.turn
    if turn is None:
        tap: Tap = call.exchange
        return await _passed(upstream, request, call, send, client, tap, timeouts, begun=begun)
    async with turn.asked_of(upstream, model, request) as asked:
        send, client, tap = turn.answer.listening(timeouts.idle, begun=begun)
        return await _passed(upstream, asked, call, send, client, tap, timeouts, begun=begun)


async def _passed(
    upstream: Upstream,
    request: Outgoing,
    call: Call,
    send: Send,
    client: Client,
    tap: Tap,
    timeouts: Timeouts,
    *,
    begun: bool,
) -> CorralError | None:
    carry = tunnel if call.websocket else relay
    return await carry(
        send,
        upstream,
        request,
        client,
        extra_headers=None if begun else _told(call.exchange),
        connect=timeouts.connect,
        idle=timeouts.idle,
        on_failure=call.on_failure,
        tap=tap,
    )


def _told(exchange: Exchange) -> Headers:
    return [
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-corral-model", exchange.model.encode()),
        (b"x-corral-queue-ms", b"%d" % exchange.queue_ms),
        (b"x-corral-load-ms", b"%d" % exchange.load_ms),
        *exchange.told,
    ]

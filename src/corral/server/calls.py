"""Requests for a model: read, handed to the gateway, and answered whatever happens.

1. Every request ends here in exactly one of: an answer, an error with a body, or nothing because its client left.
2. With keys configured, the client's own is for corral: it goes no further.
3. On a model's route an engine is asked only for encodings that corral can read: what answers say of their tokens is in the books.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

from corral.config.catalog import Target
from corral.dialects import endpoints
from corral.dialects.dialect import Dialect
from corral.dialects.endpoints import Endpoint
from corral.dialects.openai import OPENAI
from corral.gateway.exchange import Exchange
from corral.gateway.gateway import Gateway
from corral.gateway.inference import Call
from corral.gateway.ports import Headers
from corral.gateway.relay import Client, ClientLeft, Send
from corral.server import bodies, front, responses
from corral.server.access import Access
from corral.wire.encoding import narrowed
from corral.wire.headers import find, request_headers

log = logging.getLogger("corral.calls")

_SECRETS = frozenset({b"authorization", b"x-api-key"})

Serve = Callable[[Call, Send, Client], Awaitable[object]]


class Calls:
    """Answers model requests over one gateway."""

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self._gateway = gateway
        self._access = access
        self._inference = gateway.inference

    async def on_route(
        self, endpoint: Endpoint, scope: front.Scope, receive: front.Receive, send: Send
    ) -> None:
        """A model route: the model is named in the body, the form or the query."""

        async def serve(call: Call, send: Send, client: Client) -> None:
            await self._inference.serve(call, endpoint, send, client)

        await self._answer(serve, endpoint, endpoint.upstream, scope, receive, send)

    async def on_upstream(
        self, target: Target, path: str, scope: front.Scope, receive: front.Receive, send: Send
    ) -> None:
        """Anything for one model's engine, passed through as it is. `path` is percent-encoded."""
        location = path.encode("latin-1")

        async def serve(call: Call, send: Send, client: Client) -> None:
            call.exchange.requested = target.name
            await self._inference.relayed(target, location, call, send, client)

        plain = unquote(path)
        endpoint = endpoints.find(scope["method"], plain)
        await self._answer(serve, endpoint, plain, scope, receive, send)

    async def _answer(
        self,
        serve: Serve,
        endpoint: Endpoint | None,
        path: str,
        scope: front.Scope,
        receive: front.Receive,
        send: Send,
    ) -> None:
        """`path` is what goes into the books."""
        dialect = endpoint.dialect if endpoint else OPENAI
        request_id = front.request_id(scope)
        client: Client | None = None
        exchange: Exchange | None = None
        try:
            exchange = self._opened(scope, endpoint, path, request_id)
            limit, spool = self._gateway.config.max_body, self._gateway.spool
            exchange.body = body = await bodies.read(scope, receive, limit, spool)
            try:
                async with front.watch(scope, receive) as client:
                    await serve(self._call(scope, exchange, dialect), send, client)
                    return
                raise ClientLeft
            finally:
                if not isinstance(body, bytes):
                    body.close()
        except ClientLeft:
            log.debug("%s: the client left", request_id)
            if exchange:
                exchange.error = exchange.error or "the client left"
        except asyncio.CancelledError:
            error = exchange.called_off() if exchange else None
            if error is None:
                raise
            await _fail(error, dialect, request_id, send, client, exchange, scope["headers"])
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            await _fail(error, dialect, request_id, send, client, exchange, scope["headers"])
        finally:
            if exchange:
                self._gateway.ledger.close(exchange)

    def _opened(
        self, scope: front.Scope, endpoint: Endpoint | None, path: str, request_id: str
    ) -> Exchange:
        """The request's note, in the books from now on. Raises Unauthorized."""
        method, headers, address = scope["method"], scope["headers"], _address(scope)
        caller = self._access.check(headers) or address
        return self._gateway.ledger.open(
            Exchange(method, path, endpoint, request_id, caller, address, headers)
        )

    def _call(self, scope: front.Scope, exchange: Exchange, dialect: Dialect) -> Call:
        return Call(
            scope["method"].encode(),
            scope["query_string"],
            self._passed_on(scope["headers"], scope.get("client"), exchange.endpoint),
            exchange.body,
            exchange,
            partial(responses.render_event, dialect=dialect, request_id=exchange.request_id),
            front.asked_for_websocket(scope),
        )

    def _passed_on(
        self, headers: Headers, client: tuple[str, int] | None, endpoint: Endpoint | None
    ) -> Headers:
        passed = request_headers(headers)
        if endpoint is not None:
            passed = narrowed(passed)
        if not self._access.open:
            passed = [header for header in passed if header[0] not in _SECRETS]
        if client:
            passed.append((b"x-forwarded-for", client[0].encode()))
        return passed


def _address(scope: front.Scope) -> str:
    """The client's, without its port; empty where there is none (a UNIX socket). What a proxy says about it anybody could say."""
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""


async def _fail(
    error: Exception,
    dialect: Dialect,
    request_id: str,
    send: Send,
    client: Client | None,
    exchange: Exchange | None,
    asked: Headers,
) -> None:
    """Tell the client; when the answer has begun already, which only a defect can do, cut it."""
    accept = find(asked, b"accept")
    rendered = responses.render(error, dialect, request_id=request_id, accept=accept)
    if exchange:
        rendered.headers.extend(exchange.told)
        exchange.error = str(error)
        if not exchange.status:
            exchange.status, exchange.answer_headers = rendered.status, rendered.headers
    if rendered.status >= 500:
        log.warning("%s: %s", request_id, error, exc_info=rendered.status == 500)
    try:
        await send(
            {
                "type": "http.response.start",
                "status": rendered.status,
                "headers": rendered.headers,
            }
        )
        await send({"type": "http.response.body", "body": rendered.body})
    except OSError:  # ASGI 2.4: what `send` raises once the client is gone
        log.debug("%s: the client left", request_id)
    except RuntimeError:
        log.exception("%s: cut in the middle of its answer", request_id)
        if client:
            client.cut()

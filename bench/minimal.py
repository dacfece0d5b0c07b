"""The data path and nothing else: `Front`, `relay` and `Engine`, with the model's name read from the body.

python bench/minimal.py PORT UPSTREAM_URL
"""

from __future__ import annotations

import sys

import msgspec
import uvicorn

from corral.gateway.ports import Outgoing
from corral.gateway.relay import relay
from corral.host.upstream import Engine
from corral.server import bodies
from corral.server.front import Front, watch
from corral.wire.headers import request_headers


class Named(msgspec.Struct):
    model: str


name_of = msgspec.json.Decoder(Named).decode


def event(error):
    return b'data: {"error":{"message":"%s"}}\n\n' % str(error).encode()


def application(engine):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        content = await bodies.read(scope, receive, 2**29, None)
        name_of(content)
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        request = Outgoing(
            scope["method"].encode(), target, request_headers(scope["headers"]), content
        )
        async with watch(scope, receive) as client:
            await relay(
                send,
                engine,
                request,
                client,
                extra_headers=[],
                connect=30,
                idle=3600,
                on_failure=event,
            )

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Engine(sys.argv[2], name="static")),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        log_level="error",
        loop="uvloop",
        http=Front,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )

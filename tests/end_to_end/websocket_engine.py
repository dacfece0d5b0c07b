"""An engine that speaks WebSocket: `python websocket_engine.py --port N` or `--socket PATH`.

It repeats every message. Told `wait N` it says `waited` after N seconds; told `die` it ends at once, without a word.
"""

from __future__ import annotations

import argparse
import asyncio
import http
import os

from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.http11 import Request, Response


def healthy(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/health":
        return connection.respond(http.HTTPStatus.OK, "ok")
    return None


async def repeat(connection: ServerConnection) -> None:
    print(f"opened {connection.request.path}", flush=True)
    async for message in connection:
        match str(message).split():
            case ["wait", seconds]:
                await asyncio.sleep(float(seconds))  # the pace is what this engine is for
                await connection.send("waited")
            case ["die"]:
                os._exit(3)
            case _:
                await connection.send(message)
    print("closed", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--socket")
    options = parser.parse_args()
    how = {"process_request": healthy, "max_size": None}
    if options.socket:
        server = await unix_serve(repeat, options.socket, **how)
    else:
        server = await serve(repeat, "127.0.0.1", options.port, **how)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

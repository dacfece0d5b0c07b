"""`/api/events`: what happens, as server-sent events, until corral stops or the reader leaves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from corral.gateway.gateway import Gateway
from corral.gateway.news import News
from corral.server.feeds import LIVE, Live

EVENTS = "text/event-stream"


class Events:
    """The event stream over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._news = News(gateway)

    def routes(self) -> list[Route]:
        return [Route("/api/events", self.stream, methods=["GET"])]

    async def stream(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(headers=LIVE, media_type=EVENTS)
        return Stream(self._news)


class Stream(Response):
    """A reader's place, held for as long as its client reads."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self._news = news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._news.reader() as reader:
            await Live(b"", reader, EVENTS)(scope, receive, send)

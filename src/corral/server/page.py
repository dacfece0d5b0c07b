"""GET /, /ui: one plain page with the models, their states and links. No script, nothing fetched.

1. llama-swap's links lead somewhere: its pages are all this one, what looks like a file below `/ui/` is not there.
2. Who types the address and has no key yet is sent to `/ui`, which asks for it.
"""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from corral.errors import NotFound
from corral.gateway import views
from corral.gateway.gateway import Gateway
from corral.server.access import Access

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>corral</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="5">
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
 table {{ border-collapse: collapse; width: 100% }}
 th, td {{ text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884; vertical-align: top }}
 .ready {{ color: #167a3e }} .failed {{ color: #b3261e }} small {{ color: #777 }}
 @media (prefers-color-scheme: dark) {{ body {{ background: #16181c; color: #ddd }} a {{ color: #8ab4f8 }} .ready {{ color: #6fd896 }} .failed {{ color: #ff8a80 }} }}
</style></head><body>
<h1>corral</h1>
<table><thead><tr><th>model</th><th>state</th><th>in flight</th><th>waiting</th><th></th></tr></thead>
<tbody>{rows}</tbody></table>
<p>{links}</p>
</body></html>"""

ROW = """<tr><td>{name}{description}</td><td class="{kind}">{state}{reason}</td><td>{in_flight}</td><td>{waiting}</td>
<td><a href="/upstream/{path}/">open</a> <a href="/logs/{path}">log</a></td></tr>"""

LINKS = ("/v1/models", "/api/models", "/running", "/health", "/logs/proxy", "/logs/upstream")

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M2 3v10M6 3v10M10 3v10M14 3v10M1 6h14M1 10h14"
 stroke="#8a6d3b" stroke-width="1.6" stroke-linecap="round"/></svg>"""
"""A fence."""


def routes(gateway: Gateway, access: Access) -> list[Route]:
    async def page(request: Request) -> Response:
        rows = "".join(_row(view) for view in views.every(gateway))
        links = " · ".join(f'<a href="{link}">{link}</a>' for link in LINKS)
        return HTMLResponse(PAGE.format(rows=rows or _nothing(), links=links))

    async def entrance(request: Request) -> Response:
        known = access.allows(request.headers.raw)
        return await page(request) if known else RedirectResponse("/ui", 302)

    async def below(request: Request) -> Response:
        if "." in request.path_params["path"].rpartition("/")[2]:
            raise NotFound(f"there is no {request.url.path} here")
        return await page(request)

    async def models(request: Request) -> Response:
        return RedirectResponse("/ui/models", 302)

    async def icon(request: Request) -> Response:
        return Response(ICON, media_type="image/svg+xml")

    get = ["GET"]
    return [
        Route("/", entrance, methods=get),
        Route("/ui", page, methods=get),
        Route("/ui/{path:path}", below, methods=get),
        Route("/upstream", models, methods=get),
        Route("/favicon.ico", icon, methods=get),
    ]


def _row(view: dict[str, Any]) -> str:
    failed = view["last_failure"] if view["state"] == "unloaded" else None
    return ROW.format(
        name=escape(view["id"]),
        description=_small(view["name"] or view["description"]),
        kind="failed" if failed else escape(view["state"]),
        state=escape(view["state"]),
        reason=_small(failed["message"]) if failed else "",
        in_flight=view["in_flight"],
        waiting=view["waiting"],
        path=quote(view["id"], safe="/"),
    )


def _small(text: str) -> str:
    return f"<br><small>{escape(text)}</small>" if text else ""


def _nothing() -> str:
    return '<tr><td colspan="5">No models are configured.</td></tr>'

"""`/v1/models`: every name that a request may use, as far as it is listed, and what stands behind each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corral.config.catalog import Target
from corral.config.virtual import Selector
from corral.dialects import listing
from corral.dialects.listing import Listed
from corral.errors import ModelNotFound
from corral.gateway.gateway import Gateway

PATHS = ("/v1/models", "/models")


class Listing:
    """The list over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._created = int(gateway.started_at)

    def routes(self) -> list[Route]:
        return [
            *(Route(path, self.every, methods=["GET"]) for path in PATHS),
            Route("/v1/models/{name:path}", self.one, methods=["GET"]),
        ]

    async def every(self, request: Request) -> Response:
        return JSONResponse(listing.models(self._all()))

    async def one(self, request: Request) -> Response:
        """By any name that a request may use, listed or not."""
        return JSONResponse(listing.model(self._named(request.path_params["name"])))

    def _all(self) -> Iterator[Listed]:
        catalog = self._gateway.catalog
        yield from map(self._local, catalog.names())
        yield from map(self._at_a_peer, catalog.peer_models())
        yield from map(self._selector, catalog.selectors())
        yield from (self._pin(name) for name in self._gateway.routing.pins if self._is_new(name))

    def _named(self, name: str) -> Listed:
        catalog = self._gateway.catalog
        if self._is_new(name):
            return self._pin(name)
        if catalog.selector(name):
            return self._selector(name)
        target = catalog.target(name)
        if target.peer:
            return self._at_a_peer(target)
        return self._local(name if name in catalog.names() else target.model)

    def _local(self, name: str) -> Listed:
        """A model of this machine, by its id or an alias."""
        model = self._gateway.catalog.resolve(name)
        configured = self._gateway.config.models[model]
        aliases = list(self._gateway.catalog.aliases(model))
        about = {"aliases": aliases} if aliases else {}
        return Listed(
            name,
            self._created,
            "model" if name == model else "alias",
            self._status(model),
            configured.name,
            configured.description,
            configured.metadata,
            about if name == model else {"modelID": model},
            configured.capabilities,
        )

    def _at_a_peer(self, target: Target) -> Listed:
        name, about = f"{target.peer}: {target.model}", {"peerID": target.peer}
        return Listed(target.listed, self._created, "peer", name=name, about=about)

    def _selector(self, name: str) -> Listed:
        row = self._gateway.config.selectors[name]
        about: dict[str, object] = {"strategy": row.strategy, "targets": list(row.targets)}
        if row.strategy == "spillover":
            about["spillover"] = row.spillover
        return Listed(
            name,
            self._created,
            "selector",
            self._chosen(row),
            row.name,
            row.description,
            row.metadata,
            about,
        )

    def _pin(self, name: str) -> Listed:
        target = self._gateway.routing.pins[name]
        selector = self._gateway.catalog.selector(target)
        status = self._chosen(selector) if selector else self._behind(target)
        return Listed(name, self._created, "profile", status, about={"target": target})

    def _is_new(self, name: str) -> bool:
        """A pin of the active profile that is on, and is no name without it."""
        catalog = self._gateway.catalog
        if not self._gateway.routing.pins.get(name) or catalog.selector(name):
            return False
        with contextlib.suppress(ModelNotFound):
            catalog.target(name)
            return False
        return True

    # --- states ------------------------------------------------------------------------------------------------------

    def _chosen(self, selector: Selector) -> str:
        considered = selector.targets[:1] if selector.strategy == "pin" else selector.targets
        return listing.best(map(self._behind, considered))

    def _behind(self, name: str) -> str:
        """The status of the model that a name leads to; nobody knows a peer's."""
        target = self._gateway.catalog.target(name)
        return "unloaded" if target.peer else self._status(target.model)

    def _status(self, model: str) -> str:
        machine = self._gateway.engine.machine
        failed = machine.last_failure(model) is not None
        return listing.status(machine.state(model).value, failed=failed)

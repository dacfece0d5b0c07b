"""Everything a running corral is, as one value: what the HTTP face is given to work with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from corral.config.catalog import Catalog
from corral.config.model import Config
from corral.gateway.activity import Activity
from corral.gateway.conversations import Conversing
from corral.gateway.engine import Engine
from corral.gateway.exchange import Ledger
from corral.gateway.inference import Inference
from corral.gateway.inforce import InForce
from corral.gateway.performance import Performance
from corral.gateway.ports import Log, Logs, Spool
from corral.gateway.reload import Reloader
from corral.gateway.routing import Routing
from corral.gateway.switching import Switcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Serving requests, keeping books, and what this process was given; in that order."""

    inforce: InForce
    engine: Engine
    routing: Routing
    inference: Inference
    reloader: Reloader
    conversations: Conversing
    switcher: Switcher

    ledger: Ledger
    activity: Activity
    logs: Logs
    performance: Performance | None = None
    """None where nobody measures the machine."""

    spool: Callable[[], Spool]
    """A place for one body that is too big for memory."""
    environment: Mapping[str, str]
    started_at: float = field(default_factory=time.time)
    """Epoch seconds: dates the models in listings."""

    @property
    def config(self) -> Config:
        """The one in force: another one after a reload."""
        return self.inforce.config

    @property
    def catalog(self) -> Catalog:
        """The names of the configuration in force."""
        return self.inforce.catalog

    async def loaded(self, model: str) -> dict[str, object]:
        """Load `model` and say what the time went into; `load_ms` is 0 when it was ready already."""
        lease = await self.engine.load(model)
        return {"msg": "ok", "model": model, "load_ms": lease.load_ms, "queue_ms": lease.queue_ms}

    def log(self, name: str) -> Log:
        """The log of a model (id or alias). Raises ModelNotFound."""
        return self.engine.processes.log(self.catalog.resolve(name))

"""The configuration in force. A reload replaces it whole; whoever needs it reads it here and keeps no copy."""

from __future__ import annotations

import logging
from collections.abc import Callable

from corral.config.catalog import Catalog
from corral.config.model import Config

log = logging.getLogger("corral")

Watcher = Callable[[Config], None]


class InForce:
    """`config` and the `catalog` of its names, always of the same configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.catalog = Catalog(config)
        self._watchers: list[Watcher] = []

    def __repr__(self) -> str:
        return f"<InForce: {self.catalog!r}>"

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` now, and with every configuration that comes into force."""
        self._watchers.append(watcher)
        watcher(self.config)

    def adopt(self, config: Config) -> None:
        """From now on `config` holds; those who watch are told in the order in which they came."""
        self.config, self.catalog = config, Catalog(config)
        for watcher in self._watchers:
            try:
                watcher(config)
            except Exception:  # the others have to hear of it all the same
                log.exception("%r could not take the new configuration over", watcher)

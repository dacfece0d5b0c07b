"""How long each model takes to load, kept in corral's database.

A time belongs to a model *and* to how it is launched: with another quantisation, or on another card, it is another time.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Mapping

from corral.config.command import LaunchSpec
from corral.host.storage import Storage

COMMANDS = 8
"""Ways of launching one model whose times are kept, the latest ones: people try things, and go back."""

_STORE = """
    INSERT INTO load_times (model, command, seconds, samples, updated_at) VALUES (?1, ?2, ?3, 1, ?4)
    ON CONFLICT DO UPDATE SET seconds = ?3, samples = samples + 1, updated_at = ?4"""
_FORGET = """
    DELETE FROM load_times WHERE model = ?1 AND command NOT IN
    (SELECT command FROM load_times WHERE model = ?1 ORDER BY updated_at DESC LIMIT ?2)"""

Rows = list[tuple[str, str, float]]


class LoadTimes:
    """The load times of the models in `specs`, as they are launched now. Fits `gateway.ports.LoadTimes`."""

    def __init__(self, storage: Storage, specs: Mapping[str, LaunchSpec]) -> None:
        self._storage = storage
        self.adopt(specs)

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on the models are launched like this."""
        self._commands = {model: fingerprint(spec) for model, spec in specs.items()}

    async def load(self) -> dict[str, float]:
        """Seconds by model, for those that have ever been loaded this way."""
        nothing: Rows = []
        rows = await self._storage.ask(_read, nothing)
        return {
            model: seconds
            for model, command, seconds in rows
            if self._commands.get(model) == command and _is_time(seconds)
        }

    def remember(self, model: str, seconds: float) -> None:
        """Keep this as the time that `model` takes. Returns at once."""
        command, now = self._commands[model], time.time()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_STORE, (model, command, seconds, now))
            connection.execute(_FORGET, (model, COMMANDS))

        self._storage.tell(write)


def _read(connection: sqlite3.Connection) -> Rows:
    return connection.execute("SELECT model, command, seconds FROM load_times").fetchall()


def _is_time(value: object) -> bool:
    """SQLite keeps whatever it is given, and people have editors."""
    return isinstance(value, float) and 0 < value < math.inf


def fingerprint(spec: LaunchSpec) -> str:
    """The same for the same command and environment, whatever port it is given; at a router, for the same model of the same one. A hash:
    an environment may hold secrets.
    """
    told: list[object] = [spec.argv, sorted(spec.env.items())]
    if routed := spec.routed:
        told += [routed.model, routed.url, routed.launch and fingerprint(routed.launch)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

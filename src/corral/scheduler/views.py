"""What people may ask about models and requests. Nothing here changes anything."""

from __future__ import annotations

from corral.errors import LoadFailed
from corral.scheduler import waits
from corral.scheduler.floor import Floor
from corral.scheduler.residency import State


class Views:
    """The reading half of `Machine`. A model is named by its real id (KeyError: there is none); times are on the machine's clock."""

    _floor: Floor
    _now: float

    def __repr__(self) -> str:
        models = [repr(m) for m in self._floor.models.values() if m.state is not State.UNLOADED]
        return (
            f"<Machine: {len(self._floor.waiting)} waiting; {' '.join(models) or 'nothing loaded'}>"
        )

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._floor.models)

    def state(self, model: str) -> State:
        return self._floor.models[model].state

    def is_loaded(self, model: str) -> bool:
        """It has a process, of whatever state. Also for a model that is not known (any more)."""
        known = self._floor.models.get(model)
        return known is not None and known.state is not State.UNLOADED

    def state_since(self, model: str) -> float:
        """When its state began; 0 when it never changed."""
        return self._floor.models[model].since

    def ready_since(self, model: str) -> float | None:
        """When the process that runs now became ready; None when it is not."""
        return self._floor.models[model].ready_since

    def victims(self, model: str) -> tuple[str, ...]:
        """Who would have to leave for it now."""
        return tuple(self._floor.verdict(self._floor.models[model]).victims)

    def in_flight(self, model: str) -> int:
        return len(self._floor.models[model].served)

    def waiting(self, model: str) -> int:
        return len(self._floor.models[model].line)

    def waiting_since(self, model: str) -> float | None:
        """When the oldest of those who wait for `model` arrived."""
        oldest = self._floor.models[model].line.oldest
        return oldest.arrived if oldest else None

    def ttl_deadline(self, model: str) -> float | None:
        """When it is unloaded unless a request comes; None while it is in use, or never."""
        return self._floor.models[model].ttl_deadline()

    def last_failure(self, model: str) -> LoadFailed | None:
        """Why its last load failed, or how it ended while ready; None once it was ready again."""
        return self._floor.models[model].failure

    def backoff_until(self, model: str) -> float | None:
        """When newcomers are no longer refused for a failed load; None when they are not."""
        retry_at = self._floor.models[model].retry_at
        return retry_at if retry_at > self._now else None

    def load_seconds(self, model: str) -> float | None:
        """How long its last load took; None before the first."""
        return self._floor.models[model].load_seconds

    def load_costs(self) -> dict[str, float]:
        """Seconds that loads have lately taken, by model, as far as is known: what `evict_costs: auto` goes by."""
        models = self._floor.models.values()
        return {m.model: m.usual_load for m in models if m.usual_load is not None}

    def position(self, request: int) -> int | None:
        """Its place among all who wait, from 1; None when it does not wait."""
        return waits.position(self._floor, request, self._now)

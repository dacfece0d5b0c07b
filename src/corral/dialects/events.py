"""The messages of `/api/events`, in llama-swap's envelope: all of its own, and corral's (`eviction`, `load`, `config`, `switch`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from corral.config.model import Capabilities
from corral.dialects.listing import STATE, flags
from corral.wire import sse

_NONE = Capabilities()
HEARTBEAT = sse.comment()
"""Says that the stream is alive, to whoever is between as well; no reader sees it."""


@dataclass(frozen=True, slots=True)
class Status:
    """A model as `modelStatus` needs it; `state` is corral's word, empty for one of a `peer`."""

    id: str
    state: str = ""
    name: str = ""
    description: str = ""
    unlisted: bool = False
    aliases: Sequence[str] = ()
    capabilities: Capabilities = _NONE
    peer: str = ""


def model_status(models: Iterable[Status]) -> bytes:
    """Every model, sorted by id, those of peers last, with llama-swap's words for their states."""
    ordered = sorted(models, key=lambda model: (model.peer != "", model.id))
    return _message("modelStatus", [_status(model) for model in ordered])


def log_data(text: bytes, source: str = "proxy") -> bytes:
    """A piece of corral's own log, or with `upstream` of what the models' servers print."""
    return _message("logData", {"source": source, "data": text.decode("utf-8", "replace")})


def ui_config(session_headers: Iterable[str]) -> bytes:
    """The request headers in which a page finds the conversation that a request belongs to."""
    return _message("uiConfig", {"activity": {"session_id": list(session_headers)}})


def profile_changed(active: str | None) -> bytes:
    """The active profile; None for none."""
    return _message("profileChanged", {"active": active})


def activity(number: int) -> bytes:
    """A request was entered in the table of requests, which is where to read about it."""
    return _message("activity", {"id": number})


def in_flight(requests: Iterable[Mapping[str, Any]]) -> bytes:
    """Every request that is under way."""
    return _message("inflight", {"operation": "snapshot", "requests": list(requests)})


def in_flight_changed(request: Mapping[str, Any]) -> bytes:
    """A request that is under way: a new one, or news of one."""
    return _message("inflight", {"operation": "upsert", "request": request})


def in_flight_ended(number: str) -> bytes:
    """A request that is under way no longer."""
    return _message("inflight", {"operation": "remove", "id": number})


def eviction(model: str, *, target: str, why: str, at: float) -> bytes:
    """`model` was told to stop, for `target`'s sake (or nobody's, when it is empty). `at` is epoch seconds."""
    return _message("eviction", {"model": model, "for": target or None, "why": why, "at": at})


def reloaded(changes: Mapping[str, Sequence[str]]) -> bytes:
    """Another configuration is in force; `changes` by their kind."""
    return _message("config", {"ok": True, **changes})


def not_reloaded(problems: Sequence[str]) -> bytes:
    """The configuration was to be read again, and everything stays as it was. A problem is a line."""
    return _message("config", {"ok": False, "problems": problems})


def loaded(model: str, seconds: float) -> bytes:
    """`model` is ready, and took so long."""
    return _message("load", {"model": model, "seconds": seconds})


def load_failed(model: str, reason: str) -> bytes:
    """`model` was to be loaded, and was not."""
    return _message("load", {"model": model, "error": reason})


def switch(
    model: str, previous: str | None, *, seconds: float | None = None, error: str | None = None
) -> bytes:
    """`model` is being made the active one instead of `previous`; with `seconds` it is by now, with an `error` it is not."""
    outcome = {"seconds": seconds, "error": error}
    known = {key: value for key, value in outcome.items() if value is not None}
    return _message("switch", {"model": model, "previous": previous} | known)


def _status(model: Status) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "description": model.description,
        "state": STATE.get(model.state, ""),
        "unlisted": model.unlisted,
        "peerID": model.peer,
        "aliases": list(model.aliases),
    } | _known(model.capabilities)


def _known(capabilities: Capabilities) -> dict[str, Any]:
    given = {"capabilities": flags(capabilities), "context_length": capabilities.context}
    return {key: value for key, value in given.items() if value}


def _message(kind: str, data: object) -> bytes:
    """llama-swap's clients expect the data as JSON in a string."""
    envelope = {"type": kind, "data": msgspec.json.encode(data).decode()}
    return sse.encode(msgspec.json.encode(envelope).decode(), event="message")

"""The slots of one llama-server: what it says of them, and having them saved and restored.

Nothing here is raised: an engine that does not answer, not in time or with an error, is one without slots to park.
"""

from __future__ import annotations

import enum
import json
import logging
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from corral.errors import CorralError, UpstreamTimeout, UpstreamUnreachable
from corral.gateway.asking import ask
from corral.gateway.ports import Upstream

TOLD_WITHIN: Final = 5.0
"""Seconds for what an engine says of itself."""
SEEN_WITHIN: Final = 0.25
"""Seconds for what is in its slots: it answers between two batches, and a turn waits for it."""
MOVED_WITHIN: Final = 60.0
"""Seconds to write a slot, or to read it: some gigabytes, from a disk."""

log = logging.getLogger("corral.parking")


class Trouble(enum.Enum):
    """Why a slot was not saved, or not restored."""

    REFUSED = "refused"
    """The engine says no: the file, or the room, is not what it needs. After a restore the slot is empty."""
    NEVER = "never"
    """It cannot do that at all."""
    GONE = "gone"
    """It has not answered, and may be gone."""


class Facts(NamedTuple):
    """What an engine says of itself. `mark` stands for what a command does not tell: the build, the context's size."""

    slots: int
    mark: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What has been saved, or restored."""

    tokens: int
    size: int


async def facts(upstream: Upstream) -> Facts | None:
    """None when it is no engine with slots."""
    said = await _object(upstream, b"GET", b"/props", None, TOLD_WITHIN)
    if isinstance(said, Trouble):
        return None
    settings = said.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, dict) else None
    mark = json.dumps([said.get("build_info"), said.get("model_path"), context])
    slots = _count(said, "total_slots")
    return Facts(slots, mark) if slots else None


class Seen(NamedTuple):
    """What an engine says of its slots now, as far as it does."""

    working: frozenset[int]
    tokens: dict[int, int]
    """How many each holds, of those that have been used."""


async def seen(upstream: Upstream, within: float = SEEN_WITHIN) -> Seen:
    said = await _asked(upstream, b"GET", b"/slots", None, within)
    slots = [slot for slot in said if isinstance(slot, dict)] if isinstance(said, list) else []
    return Seen(
        frozenset(_count(slot, "id") for slot in slots if slot.get("is_processing")),
        {
            _count(slot, "id"): _count(slot, "n_prompt_tokens")
            for slot in slots
            if "n_prompt_tokens" in slot
        },
    )


async def save(upstream: Upstream, slot: int, name: str) -> Moved | Trouble:
    return await _moved(upstream, slot, "save", name, ("n_saved", "n_written"))


async def restore(upstream: Upstream, slot: int, name: str) -> Moved | Trouble:
    return await _moved(upstream, slot, "restore", name, ("n_restored", "n_read"))


async def _moved(
    upstream: Upstream, slot: int, action: str, name: str, members: tuple[str, str]
) -> Moved | Trouble:
    target = f"/slots/{slot}?action={action}".encode()
    said = await _object(upstream, b"POST", target, {"filename": name}, MOVED_WITHIN)
    if isinstance(said, Trouble):
        return said
    tokens, size = (_count(said, member) for member in members)
    return Moved(tokens, size)


async def _object(
    upstream: Upstream, method: bytes, target: bytes, body: object, within: float
) -> dict[str, Any] | Trouble:
    said = await _asked(upstream, method, target, body, within)
    if isinstance(said, Trouble):
        return said
    return said if isinstance(said, dict) else Trouble.REFUSED


async def _asked(
    upstream: Upstream, method: bytes, target: bytes, body: object, within: float
) -> Any:
    """What it answers, as JSON, or the trouble with it."""
    sent = b"" if body is None else json.dumps(body).encode()
    try:
        told = await ask(upstream, method, target, sent, within=within)
    except CorralError as error:
        log.debug("%s: %s", target.decode(), error.message)
        gone = isinstance(error, UpstreamUnreachable | UpstreamTimeout)
        return Trouble.GONE if gone else Trouble.REFUSED
    if told.status != 200:
        log.debug("%s: %d %s", target.decode(), told.status, told.body[:500])
        return Trouble.NEVER if told.status in (404, 405, 501) else Trouble.REFUSED
    try:
        return json.loads(told.body)
    except (ValueError, RecursionError):
        return Trouble.REFUSED


def _count(said: dict[str, Any], member: str) -> int:
    value = said.get(member)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

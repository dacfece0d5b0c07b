"""What an engine says of its context, and of how many tokens a prompt is.

1. Asking never fails a request: an engine that does not say, or not in time, is one of which nothing is known.
2. What an engine has said once, and that it does not have a path, holds as long as its process lives: one process has one upstream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from corral.dialects.turns.shape import Message, Shape
from corral.errors import CorralError, UpstreamUnreachable
from corral.gateway.asking import ask
from corral.gateway.ports import Upstream

PROPS_LIMIT: Final = 2.0
"""Seconds for what an engine says of itself."""
COUNT_LIMIT: Final = 10.0
"""Seconds for counting a prompt: reading a hundred thousand tokens takes one."""
_MISSING: Final = (404, 405, 501)

T = TypeVar("T")

log = logging.getLogger("corral.conversations")


class _Defaults(msgspec.Struct, frozen=True):
    n_ctx: int | None = None


class _Props(msgspec.Struct):
    default_generation_settings: _Defaults = _Defaults()
    n_ctx: int | None = None


class _Count(msgspec.Struct):
    input_tokens: int


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[msgspec.Raw]


@dataclass(slots=True)
class _Known:
    """Of one engine."""

    context: int | None = None
    told: bool = False
    """It has been asked for its context, and answered."""
    missing: frozenset[str] = frozenset()
    """Paths that it does not have."""


class Counting:
    """Asks engines, and remembers."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Upstream, _Known] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<Counting: {len(self._known)} engines known>"

    async def context(self, upstream: Upstream) -> int | None:
        """Tokens that fit into one request's context; None when the engine does not say."""
        known = self._known.setdefault(upstream, _Known())
        if not known.told:
            try:
                status, body = await ask(upstream, b"GET", b"/props", within=PROPS_LIMIT)
            except CorralError as error:
                log.debug("%r does not tell its context: %s", upstream, error.message)
                known.told = not isinstance(error, UpstreamUnreachable)
                return None
            known.told = status < 500 or status in _MISSING
            known.context = _context(body) if status == 200 else None
        return known.context

    async def tokens(
        self, upstream: Upstream, model: str, shape: Shape, body: bytes, prompt: Sequence[Message]
    ) -> int | None:
        """Tokens of the prompt of a request with this body, which says `prompt`, as the engine counts; None when it does not.

        `model` is its name there.
        """
        known = self._known.setdefault(upstream, _Known())
        count = await _asked(upstream, known, shape.count, body, _count)
        if count is not None:
            return count.input_tokens
        asked = _json({"model": model, "messages": list(prompt)})
        told = await _asked(upstream, known, "/apply-template", asked, _prompt)
        if told is None:
            return None
        text = {"content": told.prompt, "add_special": False, "parse_special": True}
        asked = _json({"model": model} | text)
        tokens = await _asked(upstream, known, "/tokenize", asked, _tokens)
        return None if tokens is None else len(tokens.tokens)


_json: Final = msgspec.json.encode
_props: Final = msgspec.json.Decoder(_Props).decode
_count: Final = msgspec.json.Decoder(_Count).decode
_prompt: Final = msgspec.json.Decoder(_Prompt).decode
_tokens: Final = msgspec.json.Decoder(_Tokens).decode


async def _asked(
    upstream: Upstream, known: _Known, path: str, body: bytes, read: Callable[[bytes], T]
) -> T | None:
    """What the engine answers there, unless it is known not to."""
    if path in known.missing:
        return None
    try:
        told = await ask(upstream, b"POST", path.encode(), body, within=COUNT_LIMIT)
    except CorralError as error:
        log.debug("a prompt is not counted: %s", error.message)
        return None
    if told.status in _MISSING:
        known.missing |= {path}
    return _read(told.body, read) if told.status == 200 else None


def _context(body: bytes) -> int | None:
    props = _read(body, _props)
    found = (props.default_generation_settings.n_ctx or props.n_ctx) if props else None
    return found if found and found > 0 else None


def _read(body: bytes, read: Callable[[bytes], T]) -> T | None:
    try:
        return read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

"""The tokens that an answer, or the events of one, say they cost.

1. The last number that says anything counts: in Anthropic's streams the first event tells the prompt's tokens, the last the answer's.
2. Precedence: llama.cpp's `timings` before `usage` for the counts; vLLM's `metrics` before both for the speeds.
3. Junk says nothing, and keeps nothing else from being read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec


class Usage(msgspec.Struct, frozen=True):  # made for every answer: in C
    """Tokens, and tokens per second. What was not counted is 0, what else is not known -1, as under llama-swap.

    `input_tokens` are as the engine gives them: llama.cpp and Anthropic leave out what came from the cache, OpenAI does not.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_tokens: int = -1
    draft_tokens: int = -1
    draft_accepted: int = -1
    prompt_per_second: float = -1.0
    tokens_per_second: float = -1.0
    prompt_ms: float = -1.0
    """What the engine needed for the prompt: the time to the first token, without the way to the client."""
    predicted_ms: float = -1.0
    """What it needed for the answer after that."""
    apart: int = 0
    """Tokens of the prompt that `input_tokens` leave out: they came from the cache, or went into one that is paid for."""

    @property
    def prompt_tokens(self) -> int:
        """All of the prompt's, cached ones included; 0 when they were not counted."""
        return self.input_tokens + self.apart


_NONE: Final = msgspec.Raw(b"")


class _Envelope(msgspec.Struct):
    """An answer, or an event of one. Raw: the rest of it counts even if one of them is junk."""

    usage: msgspec.Raw = _NONE
    timings: msgspec.Raw = _NONE
    metrics: msgspec.Raw = _NONE
    response: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE
    detail: msgspec.Raw = _NONE


_Path = tuple[str, ...]
JUNK: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_envelope: Final = msgspec.json.Decoder(_Envelope).decode
anything: Final = msgspec.json.Decoder().decode

_INPUT: Final[tuple[_Path, ...]] = (("prompt_tokens",), ("input_tokens",))
_OUTPUT: Final[tuple[_Path, ...]] = (("completion_tokens",), ("output_tokens",))
_CACHED: Final[tuple[_Path, ...]] = (
    ("cache_read_input_tokens",),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_tokens_details", "cached_tokens"),
)
_APART: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's, beside `input_tokens`. Who says `prompt_tokens` has them in it."""
_DRAFTED: Final[tuple[_Path, _Path]] = (("draft_n",), ("draft_n_accepted",))
_SPECULATED: Final[tuple[_Path, _Path]] = (
    ("speculative_decoding", "num_draft_tokens"),
    ("speculative_decoding", "num_accepted_draft_tokens"),
)


class Tally:
    """The numbers so far."""

    def __init__(self) -> None:
        self._told = False
        self._input = self._output = self._apart = 0
        self._cached = -1
        self._timings: dict[str, Any] = {}
        self._metrics: dict[str, Any] = {}

    def add(self, text: bytes) -> None:
        """Count an answer or an event; what is no JSON object says nothing."""
        envelope = opened(text)
        if envelope is None:
            return
        self._count(envelope.usage)
        for raw in (envelope.response, envelope.message):
            if raw is not _NONE and (inner := opened(bytes(raw))):
                self._count(inner.usage)
        self._timings = self._newer(self._timings, envelope.timings)
        self._metrics = self._newer(self._metrics, envelope.metrics)

    def _count(self, raw: msgspec.Raw) -> None:
        if raw is _NONE:  # nearly always: this is done for every answer
            return
        usage = _object(raw)
        counts = [_first(usage, paths) for paths in (_INPUT, _OUTPUT, _CACHED)]
        given, made, cached = (-1 if count is None else int(count) for count in counts)
        self._told = self._told or max(given, made, cached) >= 0
        self._input = given if given > 0 else self._input
        self._output = made if made > 0 else self._output
        self._cached = cached if cached >= 0 else self._cached
        if "prompt_tokens" not in usage:
            self._apart = int(sum(_known(usage, name, 0) for name in _APART)) or self._apart

    def _newer(self, known: dict[str, Any], raw: msgspec.Raw) -> dict[str, Any]:
        if raw is _NONE:
            return known
        news = _object(raw)
        self._told = self._told or bool(news)
        return news or known

    def usage(self) -> Usage | None:
        if not self._told:
            return None
        timings, metrics = self._timings, self._metrics
        given, made, cached = self._input, self._output, self._cached
        if not timings and not metrics:
            return Usage(given, made, cached, apart=self._apart)
        apart = self._apart
        if timings:
            whole = given + apart
            given, made = (
                int(_known(timings, "prompt_n", given)),
                int(_known(timings, "predicted_n", made)),
            )
            cached = int(_known(timings, "cache_n", cached))
            if "prompt_n" in timings:
                apart = max(0, whole - given, int(_known(timings, "cache_n", 0)))
        drafted, accepted = _both(timings, _DRAFTED) or _both(metrics, _SPECULATED) or (-1, -1)
        first = _known(metrics, "time_to_first_token_ms", 0)
        between = _known(metrics, "mean_itl_ms", 0)
        fresh = given - max(cached, 0)
        return Usage(
            given,
            made,
            cached,
            drafted,
            accepted,
            fresh / first * 1000 if first and fresh > 0 else _known(timings, "prompt_per_second"),
            1000 / between if between else _known(timings, "predicted_per_second"),
            first or _known(timings, "prompt_ms"),
            _known(timings, "predicted_ms"),
            apart,
        )


def opened(text: bytes) -> _Envelope | None:
    if not text.startswith(b"{"):
        return None
    try:
        return _envelope(text)
    except JUNK:
        return None


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    """The object that a value is; empty when it is none."""
    text = bytes(raw)
    if not text.startswith(b"{"):
        return {}
    try:
        value = anything(text)
    except JUNK:
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    """A count or a time, as a number that fits everywhere; a float too, where somebody counts in floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and 0 <= value < 2**53 else None


def _at(value: object, path: _Path) -> float | None:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return _number(value)


def _first(values: Mapping[str, Any], paths: tuple[_Path, ...]) -> float | None:
    for path in paths:
        if path[0] in values and (number := _at(values, path)) is not None:
            return number
    return None


def _known(values: Mapping[str, Any], name: str, otherwise: float = -1.0) -> float:
    number = _number(values.get(name))
    return otherwise if number is None else number


def _both(values: Mapping[str, Any], paths: tuple[_Path, _Path]) -> tuple[int, int] | None:
    one, other = (_at(values, path) for path in paths)
    return None if one is None or other is None else (int(one), int(other))

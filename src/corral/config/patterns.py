"""Regular expressions as Go reads them, and Go's durations, from text.

Go's engine knows no look-around and no back-references, Python's does: what works there works here,
with three spellings that mean something else in Python (`\\z`, `[[:alpha:]]`, letters of ASCII only).
"""

from __future__ import annotations

import re
import warnings

_DURATION = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)")
_PART = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_SPELLING = re.compile(r"\\(.)|\[:(\^?)([a-z]+):\]", re.DOTALL)
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t ",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}


def go_pattern(text: str) -> re.Pattern[str]:
    """Raises ValueError (`re.error` is one), with a reason for people."""
    with warnings.catch_warnings():
        # A `[` or `--` inside a set: Python may give it a meaning one day, Go has none for it.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return re.compile(_SPELLING.sub(_as_python, text), re.ASCII)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None


def _as_python(found: re.Match[str]) -> str:
    if found[1]:
        return r"\Z" if found[1] == "z" else found[0]
    if found[2] or found[3] not in _CLASSES:
        raise ValueError(f"`{found[0]}` is not supported")
    return _CLASSES[found[3]]


def go_duration(text: str) -> float | None:
    """The seconds of `1m30s`, `500ms`, `0`; None when it is no duration."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(found[2]))
    return -seconds if found[1] == "-" else seconds

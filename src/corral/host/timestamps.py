"""How log lines tell the time: Go's layouts, by the names that llama-swap gives them.

Go writes a layout as one moment in it, Mon Jan 2 15:04:05 MST 2006 (https://pkg.go.dev/time#pkg-constants). Names of days, months
and zones are English whatever the locale is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

LAYOUTS = {
    "": "15:04:05",
    "ansic": "Mon Jan _2 15:04:05 2006",
    "unixdate": "Mon Jan _2 15:04:05 MST 2006",
    "rubydate": "Mon Jan 02 15:04:05 -0700 2006",
    "rfc822": "02 Jan 06 15:04 MST",
    "rfc822z": "02 Jan 06 15:04 -0700",
    "rfc850": "Monday, 02-Jan-06 15:04:05 MST",
    "rfc1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "rfc1123z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "rfc3339": "2006-01-02T15:04:05Z07:00",
    "rfc3339nano": "2006-01-02T15:04:05.999999999Z07:00",
    "kitchen": "3:04PM",
    "stamp": "Jan _2 15:04:05",
    "stampmilli": "Jan _2 15:04:05.000",
    "stampmicro": "Jan _2 15:04:05.000000",
    "stampnano": "Jan _2 15:04:05.000000000",
}
"""By the value of `logTimeFormat`."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PIECES: dict[str, Callable[[time.struct_time], str]] = {
    "Monday": lambda t: _DAYS[t.tm_wday],
    "Mon": lambda t: _DAYS[t.tm_wday][:3],
    "MST": lambda t: t.tm_zone,
    "Jan": lambda t: _MONTHS[t.tm_mon - 1],
    "2006": lambda t: f"{t.tm_year:04}",
    "-0700": lambda t: _offset(t, ""),
    "Z07:00": lambda t: _offset(t, ":") if t.tm_gmtoff else "Z",
    "01": lambda t: f"{t.tm_mon:02}",
    "02": lambda t: f"{t.tm_mday:02}",
    "_2": lambda t: f"{t.tm_mday:2}",
    "15": lambda t: f"{t.tm_hour:02}",
    "3": lambda t: str(t.tm_hour % 12 or 12),
    "04": lambda t: f"{t.tm_min:02}",
    "05": lambda t: f"{t.tm_sec:02}",
    "06": lambda t: f"{t.tm_year % 100:02}",
    "PM": lambda t: "PM" if t.tm_hour >= 12 else "AM",
}
_PIECE = re.compile("|".join(map(re.escape, _PIECES)))
_FRACTION = re.compile(r"\.(0+|9+)")


def _offset(t: time.struct_time, between: str) -> str:
    minutes = abs(t.tm_gmtoff) // 60
    return f"{'-' if t.tm_gmtoff < 0 else '+'}{minutes // 60:02}{between}{minutes % 60:02}"


class Timestamps:
    """Moments as text, in local time. A line each is wanted, and most fall into the same second as the last one."""

    def __init__(self, layout: str = "") -> None:
        """`layout` is a key of `LAYOUTS`."""
        text = LAYOUTS[layout]
        found = _FRACTION.search(text)
        self._digits = len(found[1]) if found else 0
        self._trimmed = bool(found) and "9" in text
        self._layouts = (text[: found.start()], text[found.end() :]) if found else (text, "")
        self._second: int | None = None
        self._around = ("", "")

    def text(self, when: float) -> str:
        """`when` is epoch seconds."""
        second = int(when)
        if second != self._second:
            moment = time.localtime(second)
            self._around = tuple(_written(layout, moment) for layout in self._layouts)  # type: ignore[assignment]  # two, as before
            self._second = second
        before, after = self._around
        return f"{before}{self._fraction(when - second)}{after}" if self._digits else before

    def _fraction(self, part: float) -> str:
        digits = f"{int(part * 10**9):09}"[: self._digits]
        if self._trimmed:
            digits = digits.rstrip("0")
        return f".{digits}" if digits else ""


def _written(layout: str, moment: time.struct_time) -> str:
    return _PIECE.sub(lambda found: _PIECES[found[0]](moment), layout)

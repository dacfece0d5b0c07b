"""This machine's load: processor, memory, network. The system's own counters, read in a few milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import psutil


class Traffic(NamedTuple):
    """Bytes since the system started, of one network interface."""

    name: str
    received: int
    sent: int


class Machine(NamedTuple):
    """Bytes; `cores` in percent busy since the last reading, one for each logical core. Fits `gateway.ports.Machine`."""

    cores: tuple[float, ...]
    memory_total: int
    memory_used: int
    memory_free: int
    swap_total: int
    swap_used: int
    load: tuple[float, float, float]
    """Processes that run or want to: the average over 1, 5 and 15 minutes."""
    network: tuple[Traffic, ...]
    """Without the loopback interface."""


class Reader:
    """Reads this machine; what its processor did is told from one reading to the next, and since `Reader()` by the first."""

    def __init__(self) -> None:
        self._spent = _spent()

    def read(self) -> Machine:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return Machine(
            self._cores(),
            memory.total,
            memory.used,
            memory.free,
            swap.total,
            swap.used,
            psutil.getloadavg(),
            tuple(_network()),
        )

    def _cores(self) -> tuple[float, ...]:
        before, self._spent = self._spent, _spent()
        if len(before) != len(self._spent):  # cores may come and go
            before = self._spent
        return tuple(_share(*core) for core in zip(before, self._spent, strict=True))


def _spent() -> list[tuple[float, float]]:
    """(seconds in all, seconds idle) of each core since the system started."""
    return [_divided(times._asdict()) for times in psutil.cpu_times(percpu=True)]


def _divided(times: Mapping[str, float]) -> tuple[float, float]:
    """What a guest machine spent is in `user` and `nice` already, under Linux."""
    guests = times.get("guest", 0.0) + times.get("guest_nice", 0.0)
    return sum(times.values()) - guests, times["idle"] + times.get("iowait", 0.0)


def _share(before: tuple[float, float], now: tuple[float, float]) -> float:
    """Percent that was not idle. Clocks of cores are not exact, and may go back a little."""
    passed, idle = now[0] - before[0], now[1] - before[1]
    busy = 100 * (1 - idle / passed) if passed > 0 else 0.0
    return round(min(100.0, max(0.0, busy)), 1)


def _network() -> list[Traffic]:
    counted = psutil.net_io_counters(pernic=True)
    return [
        Traffic(name, counts.bytes_recv, counts.bytes_sent)
        for name, counts in counted.items()
        if not _is_loopback(name)
    ]


def _is_loopback(name: str) -> bool:
    return name in ("lo", "lo0") or name.startswith("Loopback")

"""What this machine is: the facts that do not change while corral runs, in the shape of llama-swap's snapshot (`schema_version` 1).

What cannot be found out is null; no value is invented. The machine is the one that corral runs on, as far as corral can see it: in a
container that is the container's share.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from corral import __version__
from corral.host.gpu import Gpu

Facts = dict[str, Any]

_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_ARCHITECTURES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"} | {
    name: name for name in ("ppc64le", "riscv64", "s390x")
}
_FAMILIES = {"linux": "linux", "darwin": "macos", "win32": "windows"}


def snapshot(cards: Iterable[Gpu]) -> Facts:
    """All of it, ready for JSON. Sizes are bytes, powers watts."""
    return {
        "schema_version": 1,
        "captured_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "capture": {
            "scope": "inference_host",
            "method": "detected",
            "detector": {"name": "corral", "version": __version__},
        },
        "architecture": _architecture(platform.machine()),
        "operating_system": _system(),
        "environment": {"kind": _environment(), "name": None, "version": None},
        "cpu": _processor(_cpu_info()),
        "memory": {"capacity_bytes": _memory()},
        "accelerators": [_accelerator(card) for card in cards],
    }


def _architecture(raw: str) -> Facts:
    if raw.lower().startswith("armv7"):
        return {"name": "armv7", "raw_name": raw}
    return {"name": _ARCHITECTURES.get(raw.lower(), "other"), "raw_name": raw or "unknown"}


def _system() -> Facts:
    release: Mapping[str, str] = {}
    with suppress(OSError):
        release = platform.freedesktop_os_release() if sys.platform == "linux" else {}
    facts = {
        "family": _FAMILIES.get(sys.platform, "other"),
        "name": release.get("NAME") or platform.system() or None,
        "version": release.get("VERSION_ID") or platform.mac_ver()[0] or None,
        "kernel": platform.release() or None,
    }
    return facts | ({"raw_family": sys.platform} if facts["family"] == "other" else {})


def _environment() -> str:
    """What can be told without asking another program."""
    if "microsoft" in platform.release().lower():
        return "wsl"
    if any(mark.exists() for mark in _CONTAINER_MARKS):
        return "container"
    flags = _cpu_info().get("flags")
    if not flags:
        return "unknown"
    return "virtual_machine" if "hypervisor" in flags[0].split() else "native"


def _cpu_info() -> dict[str, list[str]]:
    """The values of `/proc/cpuinfo`, by name; empty where there is none."""
    found: dict[str, list[str]] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def _processor(info: Mapping[str, list[str]]) -> Facts:
    def first(name: str) -> str | None:
        return next(iter(info.get(name, ())), None)

    return {
        "vendor": first("vendor_id"),
        "model": first("model name") or platform.processor() or None,
        "socket_count": len(set(info.get("physical id", ()))) or None,
        "physical_core_count": psutil.cpu_count(logical=False),
        "logical_thread_count": psutil.cpu_count(),
    }


def _memory() -> int:
    """What there is, or what the container may use of it."""
    limits = [psutil.virtual_memory().total]
    with suppress(OSError):
        text = Path("/sys/fs/cgroup/memory.max").read_text("ascii", "replace")
        limits += map(int, re.findall(r"\A\d+", text))
    return min(limits)


def _accelerator(card: Gpu) -> Facts:
    kind = "unified" if card.unified else "dedicated" if card.memory_total else "unknown"
    return {
        "index": card.id,
        "kind": "gpu",
        "vendor": card.vendor or None,
        "model": card.name or None,
        "architecture": None,
        "memory": {"kind": kind, "capacity_bytes": card.memory_total or None},
        "driver": {"name": None, "version": card.driver} if card.driver else None,
        "power_limit_watts": card.power_limit or None,
    }

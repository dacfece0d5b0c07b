"""AMD's cards, from what the kernel's `amdgpu` driver shows in `/sys`: no library, no program.

The files: https://docs.kernel.org/gpu/amdgpu/thermal.html and .../gpu/amdgpu/driver-misc.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from corral.host.gpu import Gpu, Unknown

DRM = Path("/sys/class/drm")
VENDOR = "AMD"
_VENDOR_ID = "0x1002"
_CARD = re.compile(r"card(\d+)")  # and not card0-DP-1, which is a socket for a screen


class Sysfs:
    """The cards below `drm`."""

    def __init__(self, drm: Path = DRM) -> None:
        found = [(int(match[1]), folder) for folder, match in _numbered(drm)]
        self._folders = [folder / "device" for _, folder in sorted(found)]
        self._folders = [f for f in self._folders if _text(f / "vendor") == _VENDOR_ID]
        if not self._folders:
            raise Unknown("no AMD card")

    def cards(self) -> Sequence[Gpu]:
        cards = [_card(number, folder) for number, folder in enumerate(self._folders)]
        return [card for card in cards if card.memory_total]

    def processes(self) -> Sequence[tuple[int, int, int]]:
        """`/sys` does not say who holds how much."""
        return ()


def _numbered(drm: Path) -> list[tuple[Path, re.Match[str]]]:
    try:
        folders = list(drm.iterdir())
    except OSError:
        return []
    return [(folder, match) for folder in folders if (match := _CARD.fullmatch(folder.name))]


def _card(number: int, device: Path) -> Gpu:
    sensors = next(iter(sorted(device.glob("hwmon/hwmon*"))), device)
    heat = _temperatures(sensors)
    return Gpu(
        number,
        _text(device / "product_name") or f"{VENDOR} {_text(device / 'device') or 'GPU'}",
        _text(device / "unique_id"),
        VENDOR,
        heat.get("edge", heat.get("junction")),
        heat.get("mem"),
        _number(device / "gpu_busy_percent"),
        _whole(device / "mem_info_vram_used"),
        _whole(device / "mem_info_vram_total"),
        _fan(sensors),
        _watts(sensors, "power1_average", "power1_input"),
        _watts(sensors, "power1_cap"),
    )


def _temperatures(sensors: Path) -> dict[str, float]:
    """By sensor, in degrees; the files hold thousandths."""
    found = {}
    for label in sensors.glob("temp*_label"):
        value = _number(label.with_name(label.name.replace("_label", "_input")))
        if value is not None:
            found[_text(label)] = value / 1000
    return found


def _fan(sensors: Path) -> float | None:
    """Percent, of the width of the pulses that drive it."""
    now, most = _number(sensors / "pwm1"), _number(sensors / "pwm1_max") or 255.0
    return None if now is None else round(100 * now / most, 1)


def _watts(sensors: Path, *files: str) -> float | None:
    """From the first file that there is; they hold millionths."""
    values = (_number(sensors / file) for file in files)
    return next((value / 1e6 for value in values if value is not None), None)


def _whole(file: Path) -> int | None:
    value = _number(file)
    return None if value is None else int(value)


def _number(file: Path) -> float | None:
    try:
        return float(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    """Empty when it cannot be read: a card that sleeps answers EBUSY."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""

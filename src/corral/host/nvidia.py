"""NVIDIA's cards: through NVML, which takes microseconds, or with `nvidia-smi`, which is a program to start each time.

1. A card that will not say one thing still says the others.
2. On machines where the card shares the system's memory (GB10, Jetson) there is no memory of its own to ask for: the total is the
   machine's, and used is what processes hold of it through the card.
3. At most one `nvidia-smi` hangs at a time: as long as one could not even be killed, no other is started.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil

from corral.host.gpu import Gpu, Unknown

SMI_LIMIT = 4.0
"""Seconds that `nvidia-smi` may take; it is killed then."""
KILL_LIMIT = 1.0
MIB = 2**20
VENDOR = "NVIDIA"


class Nvml:
    """NVML itself. `module` is `pynvml`, which the package `nvidia-ml-py` brings."""

    def __init__(self, module: Any = None) -> None:
        self._nvml = module or _pynvml()
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise Unknown(str(error)) from error

    def cards(self) -> Sequence[Gpu]:
        nvml = self._nvml
        driver = self._said(nvml.nvmlSystemGetDriverVersion) or ""
        return [self._card(n, handle, _text(driver)) for n, handle in self._handles()]

    def processes(self) -> Sequence[tuple[int, int, int]]:
        return [
            (number, pid, size)
            for number, handle in self._handles()
            for pid, size in self._holders(handle).items()
        ]

    def _handles(self) -> Iterator[tuple[int, Any]]:
        nvml = self._nvml
        for number in range(self._said(nvml.nvmlDeviceGetCount) or 0):
            handle = self._said(nvml.nvmlDeviceGetHandleByIndex, number)
            if handle is not None:
                yield number, handle

    def _card(self, number: int, handle: Any, driver: str) -> Gpu:
        nvml, said = self._nvml, self._said
        memory = said(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = said(nvml.nvmlDeviceGetUtilizationRates, handle)
        card = Gpu(
            number,
            _text(said(nvml.nvmlDeviceGetName, handle) or f"GPU {number}"),
            _text(said(nvml.nvmlDeviceGetUUID, handle) or ""),
            VENDOR,
            temperature=said(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            memory_temperature=self._memory_temperature(handle),
            busy=rates and rates.gpu,
            memory_used=memory and memory.used,
            memory_total=memory and memory.total,
            fan=said(nvml.nvmlDeviceGetFanSpeed, handle),
            power=_watts(said(nvml.nvmlDeviceGetPowerUsage, handle)),
            power_limit=_watts(said(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            driver=driver,
        )
        return card if memory else unified(card, sum(self._holders(handle).values()))

    def _memory_temperature(self, handle: Any) -> float | None:
        nvml = self._nvml
        values = self._said(nvml.nvmlDeviceGetFieldValues, handle, [nvml.NVML_FI_DEV_MEMORY_TEMP])
        if not values or values[0].nvmlReturn != nvml.NVML_SUCCESS:
            return None
        return float(values[0].value.uiVal) or None

    def _holders(self, handle: Any) -> dict[int, int]:
        nvml, held = self._nvml, {}
        for ask in (
            nvml.nvmlDeviceGetComputeRunningProcesses,
            nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for process in self._said(ask, handle) or ():
                if process.usedGpuMemory:  # None where the driver does not say (Windows)
                    held[process.pid] = process.usedGpuMemory
        return held

    def _said(self, ask: Callable[..., Any], *about: Any) -> Any:
        """Law 1: None for what is not supported, or not now."""
        try:
            return ask(*about)
        except self._nvml.NVMLError:
            return None


def _pynvml() -> Any:
    try:
        import pynvml  # noqa: PLC0415 - an extra, and 20 ms
    except ImportError as error:
        raise Unknown("nvidia-ml-py is not installed") from error
    return pynvml


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _watts(milliwatts: float | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def unified(card: Gpu, held: int) -> Gpu:
    """Law 2."""
    total = psutil.virtual_memory().total
    return card._replace(memory_used=held, memory_total=total, unified=True)


class Smi:
    """`nvidia-smi`."""

    _stuck: subprocess.Popen[str] | None = None

    def __init__(self) -> None:
        self._program = shutil.which("nvidia-smi") or ""
        if not self._program:
            raise Unknown("there is no nvidia-smi")

    def cards(self) -> Sequence[Gpu]:
        return [card for row in self._rows("gpu", CARD) if (card := self._card(row))]

    def processes(self) -> Sequence[tuple[int, int, int]]:
        places = {row[1]: int(row[0]) for row in self._rows("gpu", ("index", "uuid"))}
        return [
            (places[uuid], int(pid), int(mebibytes * MIB))
            for uuid, pid, size in self._rows("compute-apps", ("gpu_uuid", "pid", "used_memory"))
            if uuid in places and (mebibytes := number(size)) is not None
        ]

    def _card(self, row: Sequence[str]) -> Gpu | None:
        index, name, uuid, driver = row[:4]
        if not index.isdigit():
            return None
        hot, memory_hot, busy, used, total, fan, power, limit = map(number, row[4:])
        card = Gpu(
            int(index),
            name,
            uuid,
            VENDOR,
            hot,
            memory_hot or None,
            busy,
            _bytes(used),
            _bytes(total),
            fan,
            power,
            limit,
            driver,
        )
        if total is not None:
            return card
        return unified(card, sum(size for at, _, size in self.processes() if at == card.id))

    def _rows(self, about: str, fields: Sequence[str]) -> list[list[str]]:
        text = self._run(f"--query-{about}={','.join(fields)}", "--format=csv,noheader,nounits")
        rows = csv.reader(text.splitlines(), skipinitialspace=True)
        return [row for row in rows if len(row) == len(fields)]

    def _run(self, *arguments: str) -> str:
        if Smi._stuck and Smi._stuck.poll() is None:
            raise Unknown("nvidia-smi hangs")
        Smi._stuck = None
        try:
            process = subprocess.Popen(  # noqa: S603 - a fixed program, fixed words
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise Unknown(str(error)) from error
        return self._answer(process)

    def _answer(self, process: subprocess.Popen[str]) -> str:
        try:
            text, _ = process.communicate(timeout=SMI_LIMIT)
        except subprocess.TimeoutExpired:
            self._kill(process)
            raise Unknown(f"nvidia-smi took more than {SMI_LIMIT:g} s") from None
        if process.returncode:
            raise Unknown(f"nvidia-smi exited with {process.returncode}")
        return text

    def _kill(self, process: subprocess.Popen[str]) -> None:
        """Law 3: one that waits inside the driver cannot be killed, and must not be waited for."""
        process.kill()
        if process.stdout:
            process.stdout.close()
        try:
            process.wait(KILL_LIMIT)
        except subprocess.TimeoutExpired:
            Smi._stuck = process


CARD = (
    "index",
    "name",
    "uuid",
    "driver_version",
    "temperature.gpu",
    "temperature.memory",
    "utilization.gpu",
    "memory.used",
    "memory.total",
    "fan.speed",
    "power.draw",
    "power.limit",
)
"""What `nvidia-smi` is asked about a card: names and one version, then numbers."""


def number(text: str) -> float | None:
    """None for `[N/A]`, `[Not Supported]` and the like."""
    try:
        return float(text)
    except ValueError:
        return None


def _bytes(mebibytes: float | None) -> int | None:
    return None if mebibytes is None else int(mebibytes * MIB)

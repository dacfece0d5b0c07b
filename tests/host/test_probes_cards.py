"""What is read of graphics cards: through NVML, with `nvidia-smi`, from `/sys`."""

from __future__ import annotations

import inspect
import os
import sys
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from corral.host import nvidia
from corral.host.amd import Sysfs
from corral.host.gpu import Gpu, Unknown
from corral.host.nvidia import Nvml, Smi

GIB = 2**30


# --- NVML ----------------------------------------------------------------------------------------------------------


class Library:
    """`pynvml` over cards that a test describes. A card is a dictionary; what it lacks is not supported."""

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_FI_DEV_MEMORY_TEMP = pynvml.NVML_FI_DEV_MEMORY_TEMP
    NVML_SUCCESS = pynvml.NVML_SUCCESS

    def __init__(self, *cards, driver="570.86.10", works=True):
        self._cards, self._driver, self._works = cards, driver, works

    def nvmlInit(self):  # noqa: N802 - the library's
        if not self._works:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    def __getattr__(self, name):
        assert callable(getattr(pynvml, name)), f"{name} is not in the real library"
        return lambda *about: self._said(name, *about)

    def _said(self, name, handle=None, *_):
        if name == "nvmlSystemGetDriverVersion":
            return self._driver
        if name == "nvmlDeviceGetCount":
            return len(self._cards)
        if name == "nvmlDeviceGetHandleByIndex":
            return self._cards[handle]
        if name in handle:
            return handle[name]
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def process(pid, size):
    return SimpleNamespace(pid=pid, usedGpuMemory=size)


CARD = {
    "nvmlDeviceGetName": "NVIDIA GeForce RTX 5090",
    "nvmlDeviceGetUUID": "GPU-ae30",
    "nvmlDeviceGetTemperature": 70,
    "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=91, memory=40),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=30 * GIB, total=32 * GIB, free=2 * GIB),
    "nvmlDeviceGetFanSpeed": 55,
    "nvmlDeviceGetPowerUsage": 312_500,
    "nvmlDeviceGetEnforcedPowerLimit": 575_000,
    "nvmlDeviceGetFieldValues": [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=88))],
    "nvmlDeviceGetComputeRunningProcesses": [process(10, GIB), process(11, None)],
    "nvmlDeviceGetGraphicsRunningProcesses": [process(10, GIB), process(12, 5)],
}


def test_nvml_tells_everything_of_a_card():
    (card,) = Nvml(Library(CARD)).cards()
    assert card == Gpu(
        0,
        "NVIDIA GeForce RTX 5090",
        "GPU-ae30",
        "NVIDIA",
        temperature=70,
        memory_temperature=88.0,
        busy=91,
        memory_used=30 * GIB,
        memory_total=32 * GIB,
        fan=55,
        power=312.5,
        power_limit=575.0,
        driver="570.86.10",
    )


def test_a_process_that_computes_and_draws_is_counted_once():
    assert Nvml(Library(CARD, CARD)).processes() == [
        (0, 10, GIB),
        (0, 12, 5),
        (1, 10, GIB),
        (1, 12, 5),
    ]


def test_what_a_card_does_not_support_is_not_known():
    (card,) = Nvml(Library({"nvmlDeviceGetMemoryInfo": SimpleNamespace(used=1, total=2)})).cards()
    assert card == Gpu(0, "GPU 0", "", "NVIDIA", memory_used=1, memory_total=2, driver="570.86.10")


def test_the_sensor_of_the_memory_may_be_missing():
    for said in ([], [SimpleNamespace(nvmlReturn=3, value=SimpleNamespace(uiVal=9))]):
        (card,) = Nvml(Library(CARD | {"nvmlDeviceGetFieldValues": said})).cards()
        assert card.memory_temperature is None


def test_a_card_that_shares_the_systems_memory():
    held = {"nvmlDeviceGetComputeRunningProcesses": [process(1, 3 * GIB), process(2, GIB)]}
    (card,) = Nvml(Library({"nvmlDeviceGetName": b"NVIDIA GB10"} | held)).cards()
    assert (card.name, card.unified) == ("NVIDIA GB10", True)
    assert card.memory_used == 4 * GIB
    assert card.memory_total == psutil.virtual_memory().total


def test_without_a_driver_nvml_knows_nothing():
    with pytest.raises(Unknown, match="Driver"):
        Nvml(Library(CARD, works=False))


def test_without_the_extra_nvml_knows_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Unknown, match="nvidia-ml-py is not installed"):
        Nvml()


def test_the_real_library_takes_what_it_is_given():
    """The names are checked whenever they are used; these take arguments."""
    for name, count in (
        ("nvmlDeviceGetTemperature", 2),
        ("nvmlDeviceGetFieldValues", 2),
        ("nvmlDeviceGetEnforcedPowerLimit", 1),
    ):
        inspect.signature(getattr(pynvml, name)).bind(*range(count))


# --- nvidia-smi ----------------------------------------------------------------------------------------------------

ROW = "0, NVIDIA RTX 4090, GPU-1, 550.54, 75, [N/A], 85, 8192, 24576, 55, 300.50, 450.00\n"
APPS = "GPU-1, 4001, 8000\nGPU-1, 4002, [N/A]\nGPU-9, 4003, 7\n"
PLACES = "0, GPU-1\n"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put an `nvidia-smi` on the PATH that says what it is told to."""
    monkeypatch.setattr(Smi, "_stuck", None)

    def put(cards=ROW, *, apps=APPS, places=PLACES, code=0, body=""):
        script = tmp_path / "nvidia-smi"
        script.write_text(
            f"#!/bin/sh\n{body}\n"
            f'case "$1" in\n'
            f"*compute-apps*) cat <<'END'\n{apps}END\n;;\n"
            f"*index,uuid*) cat <<'END'\n{places}END\n;;\n"
            f"*) cat <<'END'\n{cards}END\n;;\nesac\nexit {code}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return Smi()

    return put


def test_nvidia_smi_tells_a_card(smi):
    (card,) = smi().cards()
    assert card == Gpu(
        0,
        "NVIDIA RTX 4090",
        "GPU-1",
        "NVIDIA",
        75.0,
        None,
        85.0,
        8 * GIB,
        24 * GIB,
        55.0,
        300.5,
        450.0,
        "550.54",
    )


def test_nvidia_smi_tells_who_holds_memory_as_far_as_it_knows(smi):
    assert smi().processes() == [(0, 4001, 8000 * 2**20)]


def test_nvidia_smi_on_a_card_that_shares_the_systems_memory(smi):
    (card,) = smi(cards=ROW.replace("8192, 24576", "[N/A], [N/A]")).cards()
    assert card.unified
    assert card.memory_used == 8000 * 2**20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "a, b\n",
        ROW.replace("0, NVIDIA", "x, NVIDIA"),
        "\0\xff\n,,,\n",
    ],
)
def test_what_nvidia_smi_says_may_be_nothing(smi, text):
    assert smi(cards=text).cards() == []


def test_an_nvidia_smi_that_fails_knows_nothing(smi):
    with pytest.raises(Unknown, match="exited with 9"):
        smi(code=9).cards()


def test_an_nvidia_smi_that_cannot_be_started_knows_nothing(smi, tmp_path):
    source = smi()
    (tmp_path / "nvidia-smi").unlink()
    with pytest.raises(Unknown, match="No such file"):
        source.cards()


def test_an_nvidia_smi_that_hangs_is_killed(smi, monkeypatch):
    monkeypatch.setattr(nvidia, "SMI_LIMIT", 0.2)
    source = smi(body="exec sleep 1000")
    with pytest.raises(Unknown, match="took more than"):
        source.cards()
    assert Smi._stuck is None


def test_no_other_is_started_while_one_cannot_even_be_killed(smi, monkeypatch):
    monkeypatch.setattr(nvidia, "SMI_LIMIT", 0.2)
    monkeypatch.setattr(nvidia, "KILL_LIMIT", 0.01)
    source = smi(body="exec sleep 1000")
    killed = []

    def kill(process):  # as one that waits inside the driver
        killed.append(process)

    monkeypatch.setattr(nvidia.subprocess.Popen, "kill", kill)
    with pytest.raises(Unknown, match="took more"):
        source.cards()
    with pytest.raises(Unknown, match="hangs"):
        source.cards()
    (process,) = killed
    process.terminate()
    process.wait(30)
    with pytest.raises(Unknown, match="took more"):
        source.cards()
    assert len(killed) == 2
    killed[1].terminate()
    killed[1].wait(30)


# --- /sys ----------------------------------------------------------------------------------------------------------


def card(drm, number, **files):
    device = drm / f"card{number}" / "device"
    sensors = device / "hwmon" / "hwmon3"
    sensors.mkdir(parents=True)
    (drm / f"card{number}-DP-1").mkdir()
    said = {
        "vendor": "0x1002",
        "device": "0x744c",
        "product_name": "Radeon RX 7900 XTX",
        "unique_id": "5c88007a",
        "gpu_busy_percent": "37",
        "mem_info_vram_used": str(GIB),
        "mem_info_vram_total": str(24 * GIB),
        "hwmon/temp1_label": "edge",
        "hwmon/temp1_input": "54000",
        "hwmon/temp2_label": "junction",
        "hwmon/temp2_input": "61000",
        "hwmon/temp3_label": "mem",
        "hwmon/temp3_input": "70000",
        "hwmon/pwm1": "51",
        "hwmon/pwm1_max": "255",
        "hwmon/power1_average": "203000000",
        "hwmon/power1_cap": "339000000",
    } | files
    for name, text in said.items():
        if text is not None:
            (device / name.replace("hwmon", "hwmon/hwmon3")).write_text(f"{text}\n")


def test_the_kernel_tells_an_amd_card(tmp_path):
    card(tmp_path, 1)
    assert Sysfs(tmp_path).cards() == [
        Gpu(
            0,
            "Radeon RX 7900 XTX",
            "5c88007a",
            "AMD",
            54.0,
            70.0,
            37.0,
            GIB,
            24 * GIB,
            20.0,
            203.0,
            339.0,
        )
    ]
    assert Sysfs(tmp_path).processes() == ()


def test_what_the_kernel_does_not_tell_is_not_known(tmp_path):
    names = ("product_name", "unique_id", "gpu_busy_percent", "hwmon/pwm1", "hwmon/power1_average")
    card(
        tmp_path, 0, **dict.fromkeys(names), **{"hwmon/temp1_label": None, "hwmon/temp3_input": "x"}
    )
    (found,) = Sysfs(tmp_path).cards()
    assert (found.name, found.uuid, found.busy) == ("AMD 0x744c", "", None)
    assert (found.fan, found.power) == (None, None)
    assert (found.temperature, found.memory_temperature) == (61.0, None)


def test_cards_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2):
        card(tmp_path, number, product_name=f"card {number}")
    assert [(c.id, c.name) for c in Sysfs(tmp_path).cards()] == [(0, "card 2"), (1, "card 10")]


def test_other_makers_cards_and_none_at_all(tmp_path):
    with pytest.raises(Unknown):
        Sysfs(tmp_path / "missing")
    card(tmp_path, 0, vendor="0x8086")
    with pytest.raises(Unknown):
        Sysfs(tmp_path)

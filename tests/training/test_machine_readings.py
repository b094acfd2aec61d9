"""Readings of the machine, against other ways to know them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanochat_framework.runs.metrics import METRICS, describe
from nanochat_framework.training import machine_readings
from nanochat_framework.training.gpus import Gpus
from nanochat_framework.training.machine_readings import EnergyCounters, MachineReader


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_readings(tmp_path: Path) -> None:
    reader = MachineReader(tmp_path, None)
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < 0.4:
        sum(range(1000))
    found = reader.read()
    share = (time.process_time() - worked) / (time.monotonic() - began)
    assert found["system/cpu_cores"] == pytest.approx(share, rel=0.2)
    assert found["system/machine_cpu_cores"] > 0.5 * share
    status = Path("/proc/self/statm").read_text().split()
    import resource

    assert found["system/memory_resident_bytes"] == pytest.approx(int(status[1]) * resource.getpagesize(), rel=0.1)
    assert found["system/disk_free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert 0 < found["system/memory_available_bytes"] < 2**50
    for name in found:
        assert describe(name) is not METRICS["system/<reading>"], f"{name} is in the table of metrics"


def test_energy_counters_wrap_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, value in (("intel-rapl:0", 900), ("intel-rapl:1", 10), ("intel-rapl:0:0", 5)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{value}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("1000\n")
    monkeypatch.setattr(machine_readings, "_POWERCAP", tmp_path)
    reader = MachineReader(tmp_path, None)
    assert reader.read()["system/energy_joules"] == 0
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100")  # 201 on, through the end of the range
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("60")  # 50 on; 0:0 is part of 0
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("999")
    assert reader.read()["system/energy_joules"] == pytest.approx(251e-6)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert reader.read()["system/energy_joules"] == pytest.approx(251e-6)


class _Counted:
    """GPUs whose energy counter stands at what it is told."""

    def __init__(self, *joules: float | None) -> None:
        self._left = list(joules)

    def read(self) -> dict[str, float]:
        return {}

    def joules(self) -> float | None:
        return self._left.pop(0)


@pytest.mark.parametrize(
    ("stands", "used"),
    [
        ((5e6, 5e6 + 3, None, 5e6 + 10), [3, 3, 10]),
        ((None, None, 5e6, 5e6 + 2), [None, 0, 2]),
    ],
)
def test_a_counter_that_cannot_be_read_for_a_while_adds_what_was_used_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: tuple[float | None, ...], used: list[float | None]
) -> None:
    """A GPU's counter stands at what was used since the driver was loaded, which is not this training's."""
    monkeypatch.setattr(machine_readings, "_POWERCAP", tmp_path / "nowhere")
    reader = MachineReader(tmp_path, _Counted(*stands))  # type: ignore[arg-type]
    assert [reader.read().get("system/energy_joules") for _ in used] == used


def test_without_counters_there_is_no_energy(tmp_path: Path) -> None:
    assert EnergyCounters.find(tmp_path / "nowhere").joules() is None


class _Nvml(SimpleNamespace):
    """Two GPUs as NVML shows them; the second gives neither temperature nor energy."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=50 + handle)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=2**30 * (handle + 1), total=2**36)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        """A stranger, and on the first GPU this process."""
        here = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=2**29)] if handle == 0 else []
        return [SimpleNamespace(pid=os.getpid() + 1, usedGpuMemory=2**20), *here]

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 300_000

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        if handle:
            raise self.NVMLError
        return 61

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if handle:
            raise self.NVMLError
        return 5000


def test_gpus_give_what_they_have() -> None:
    gpus = Gpus(_Nvml(), [0, 1])
    assert gpus.read() == {
        "system/gpu_busy_share.0": 0.5,
        "system/gpu_memory_bytes.0": 2**30,
        "system/gpu_memory_total_bytes.0": 2**36,
        "system/gpu_process_memory_bytes.0": 2**29,
        "system/gpu_power_watts.0": 300,
        "system/gpu_temperature_celsius.0": 61,
        "system/gpu_busy_share.1": 0.51,
        "system/gpu_memory_bytes.1": 2**31,
        "system/gpu_memory_total_bytes.1": 2**36,
        "system/gpu_power_watts.1": 300,
    }
    assert gpus.joules() is None, "half of the energy would look like all of it"
    assert Gpus(_Nvml(), [0]).joules() == 5.0
    for name in gpus.read():
        assert describe(name) is not METRICS["system/<reading>"]


def test_a_machine_without_a_driver_has_no_gpus() -> None:
    pytest.importorskip("pynvml")
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a driver")
    assert Gpus.open() is None

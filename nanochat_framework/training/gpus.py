"""NVIDIA GPUs through NVML (the extra `gpu`): how busy they are, their memory, power, temperature and energy."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any


class Gpus:
    """The GPUs of this machine that a training uses; readings that a GPU does not give are left out."""

    def __init__(self, nvml: Any, handles: list[Any]) -> None:
        self._nvml, self._handles = nvml, handles

    @classmethod
    def open(cls, environ: Mapping[str, str] = os.environ) -> Gpus | None:
        """None without the package, a driver or a GPU.

        Of the GPUs in CUDA_VISIBLE_DEVICES the first are taken, one for each of the training's processes here.
        """
        try:
            import pynvml

            pynvml.nvmlInit()
            handles = _visible(pynvml, environ.get("CUDA_VISIBLE_DEVICES"))
        except Exception:  # ImportError, NVMLError, or a library that does not load: there is nothing to read
            return None
        handles = handles[: int(environ.get("LOCAL_WORLD_SIZE", "1"))]
        return cls(pynvml, handles) if handles else None

    def read(self) -> dict[str, float]:
        """Readings by metric name, the GPU's number behind it."""
        found: dict[str, float] = {}
        for number, handle in enumerate(self._handles):
            for name, ask in _READINGS.items():
                value = self._asked(ask, handle)
                if value is not None:
                    found[f"system/{name}.{number}"] = value
        return found

    def joules(self) -> float | None:
        """What the energy counters of all GPUs stand at; None where one has none."""
        counted = [
            self._asked(lambda nvml, h: nvml.nvmlDeviceGetTotalEnergyConsumption(h) / 1e3, h) for h in self._handles
        ]
        known = [joules for joules in counted if joules is not None]
        return sum(known) if len(known) == len(counted) else None

    def _asked(self, ask: Callable[[Any, Any], float | None], handle: Any) -> float | None:
        try:
            value = ask(self._nvml, handle)
        except self._nvml.NVMLError:
            return None
        return None if value is None else float(value)


def _own_memory(nvml: Any, handle: Any) -> float | None:
    """What this process holds of a GPU; None where the driver does not name it (a container with pids of its own)."""
    held = [p.usedGpuMemory for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid == os.getpid()]
    return float(held[0]) if held and held[0] is not None else None


_READINGS: dict[str, Callable[[Any, Any], float | None]] = {
    "gpu_busy_share": lambda nvml, handle: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
    "gpu_memory_bytes": lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).used,
    "gpu_memory_total_bytes": lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).total,
    "gpu_process_memory_bytes": _own_memory,
    "gpu_power_watts": lambda nvml, handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
    "gpu_temperature_celsius": lambda nvml, handle: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
}


def _visible(nvml: Any, listed: str | None) -> list[Any]:
    """Handles of the GPUs that CUDA sees, in its order; MIG slices have no readings of their own."""
    if listed is None:
        return [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in listed.split(",") if name.strip()]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
        for name in names
    ]

"""Which implementation of an operation runs: the available one of highest priority.

Plugins register kernels with `registrar.kernel(operation, implementation, priority=..., requires=(...))`. Required
capabilities are strings: `package:NAME` (importable), `torch>=X.Y`, `device:cuda`, `compute>=9.0` (of the GPU), or an
instruction set as Linux names it (`avx512_vnni`). `NANOCHAT_KERNELS=naive` keeps every operation naive, for telling a
kernel's fault from ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from nanochat_framework.kernels import naive
from nanochat_framework.machine.cpu import cpu_flags
from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.registry import Registry

NAIVE: dict[str, Callable[..., Any]] = {
    "rms_norm": naive.rms_norm,
    "quantize_activations": naive.quantize_activations,
    "fp8_linear": naive.fp8_linear,
    "grouped_mm": naive.grouped_mm,
    "gated_delta_rule": naive.gated_delta_rule,
}
"""Operation -> its naive form, whose signature every kernel of the operation has."""


@dataclass(frozen=True)
class Choice:
    """The implementation chosen for an operation."""

    implementation: str
    call: Callable[..., Any]


class KernelTable:
    """Chooses implementations from a registry's kernels; without one, everything is naive."""

    def __init__(self, registry: Registry | None = None) -> None:
        kernels = [] if registry is None else registry.components("kernel")
        self._kernels = sorted(kernels, key=lambda kernel: -int(kernel.traits["priority"]))
        self._chosen: dict[tuple[str, str], Choice] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> KernelTable:
        """Itself: modules refer to the process's table, and a copied model still does."""
        return self

    def choose(self, operation: str, device: str = "cpu") -> Choice:
        """The implementation for a device type. Raises KeyError for an operation the core does not have."""
        key = (operation, device)
        if key not in self._chosen:
            self._chosen[key] = self._find(operation, device)
        return self._chosen[key]

    def passed_over(self, operation: str, device: str = "cpu") -> dict[str, list[str]]:
        """Kernels for such a device that would be preferred to the chosen one, and the capabilities that each lacks."""
        chosen, preferred = self.choose(operation, device).implementation, {}
        for kernel in self._kernels:
            name = kernel.name.partition("/")[2]
            if kernel.traits["operation"] == operation and _serves(kernel, device):
                if name == chosen:
                    break
                preferred[name] = missing_capabilities(kernel, device)
        return preferred

    def _find(self, operation: str, device: str) -> Choice:
        if os.environ.get("NANOCHAT_KERNELS") != "naive":
            for kernel in self._kernels:
                if kernel.traits["operation"] == operation and not missing_capabilities(kernel, device):
                    name = kernel.name.partition("/")[2]
                    return Choice(name, kernel.load_factory()(kernel.config_class()()))
        return Choice("naive", NAIVE[operation])


def _serves(kernel: Component, device: str) -> bool:
    return all(not need.startswith("device:") or _has(need, device) for need in kernel.traits["requires"])


def missing_capabilities(kernel: Component, device: str) -> list[str]:
    """The capabilities a kernel requires that this process and device lack."""
    return [need for need in kernel.traits["requires"] if not _has(need, device)]


def _has(capability: str, device: str) -> bool:
    if capability.startswith("package:"):
        return find_spec(capability.removeprefix("package:")) is not None
    if capability.startswith("device:"):
        return capability.removeprefix("device:") == device
    if capability.startswith("torch>="):
        return _torch_version() >= _numbers(capability.removeprefix("torch>="))
    if capability.startswith("compute>="):
        return device == "cuda" and _compute_capability() >= _numbers(capability.removeprefix("compute>="))
    return capability in cpu_flags()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _compute_capability() -> tuple[int, ...]:
    """Of the present GPU; (0, 0) where there is none."""
    import torch

    return torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)


def _torch_version() -> tuple[int, ...]:
    import torch

    return tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


_active = KernelTable()


def active() -> KernelTable:
    """The table that models built from now on choose from."""
    return _active


def activate(table: KernelTable) -> None:
    """Make a table the active one; commands do so once, after the plugins are loaded."""
    global _active
    _active = table

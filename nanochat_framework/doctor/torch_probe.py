"""Looks at torch from inside a process of its own, which may die of it: `python -m nanochat_framework.doctor.torch_probe`.

Prints one line of JSON. An import of torch can fail, hang, take seconds or end the process by a signal (a build for another
CPU); none of that reaches the program that asks.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any


def probe() -> dict[str, Any]:
    """`error` and `absent` where torch cannot be imported; else `version`, `cuda_build`, `cuda_error`, `gpus`, `mps`,
    `threads`, `cpu_capability` and `kernels`."""
    try:
        import torch
    except BaseException as error:  # a library that does not load raises OSError, and an extension may raise anything
        absent = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        return {"error": _one_line(error), "absent": absent}
    gpus, cuda_error = _gpus(torch)
    devices = ["cpu", *(["cuda"] if gpus else []), *(["mps"] if torch.backends.mps.is_available() else [])]
    return {
        "version": torch.__version__,
        "cuda_build": torch.version.cuda,
        "cuda_error": cuda_error,
        "gpus": gpus,
        "mps": "mps" in devices,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "kernels": _kernels(devices),
    }


def _gpus(torch: Any) -> tuple[list[dict[str, Any]], str]:
    """The GPUs that answer, and in CUDA's words why there are none although this torch was built for them."""
    if torch.version.cuda is None and torch.version.hip is None:
        return [], ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, init raises
            torch.cuda.init()
        return [_gpu(torch, index) for index in range(torch.cuda.device_count())], ""
    except Exception as error:
        return [], _one_line(error)


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    """A GPU, after it really multiplied: a build without code for this chip answers everything else."""
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    ones = torch.ones(16, 16, device=f"cuda:{index}")
    works = bool((ones @ ones == 16).all())
    compute = f"{properties.major}.{properties.minor}"
    return {"name": properties.name, "compute": compute, "free": free, "total": total, "works": works}


def _kernels(devices: list[str]) -> list[dict[str, Any]]:
    """A row for each operation and device: the implementation chosen, and what the faster ones lack."""
    try:
        from nanochat_framework.kernels.table import NAIVE, KernelTable
        from nanochat_framework.plugins import load_plugins

        table, rows = KernelTable(load_plugins().registry), []
    except Exception as error:  # a package that plugins need is missing or broken; torch is not to blame
        return [{"operation": "every operation", "device": "any device", "error": _one_line(error)}]
    for operation in sorted(NAIVE):
        for device in devices:
            row: dict[str, Any] = {"operation": operation, "device": device, "implementation": "", "error": ""}
            try:
                row["implementation"] = table.choose(operation, device).implementation
                row["passed_over"] = table.passed_over(operation, device)
            except Exception as error:  # a kernel of a stranger's plugin
                row["error"] = _one_line(error)
            rows.append(row)
    return rows


def _one_line(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 300 else text[:297] + "..."


if __name__ == "__main__":
    print(json.dumps(probe()), file=sys.stdout)

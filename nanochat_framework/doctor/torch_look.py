"""Judges torch, the devices and the kernels by what the child process found."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanochat_framework.doctor.finding import NOTE, OK, PROBLEM, Finding
from nanochat_framework.doctor.packages import Requirement, requirements
from nanochat_framework.machine.cpu import ROOT

INSTALL = f'"{sys.executable}" -m pip install'
_NVIDIA = "0x10de"


def look_at_torch(found: dict[str, Any]) -> Iterator[Finding]:
    """Whether it is there, imports, and is of a version that we can use."""
    need = next((each for each in requirements() if each.name == "torch"), Requirement("torch", ""))
    wanted = f'{INSTALL} "{need.name}{need.specifier}"'
    if found.get("absent"):
        yield Finding("torch", PROBLEM, "torch is not installed", wanted)
    elif "error" in found:
        again = wanted.replace("pip install", "pip install --force-reinstall")
        yield Finding("torch", PROBLEM, f"torch is installed and does not import: {found['error']}", again)
    elif not need.accepts(found["version"]):
        yield Finding("torch", PROBLEM, f"torch {found['version']} is here, {need.specifier} is needed", wanted)
    else:
        built = f"built for CUDA {found['cuda_build']}" if found["cuda_build"] else "built without CUDA"
        yield Finding("torch", OK, f"{found['version']}, {built}, {found['cpu_capability']}")


def look_at_devices(found: dict[str, Any], root: Path = ROOT) -> Iterator[Finding]:
    """The devices that a training can use, and why a GPU that is there cannot be used."""
    for index, gpu in enumerate(found.get("gpus", [])):
        size = f"{gpu['free'] / 1e9:.1f} of {gpu['total'] / 1e9:.1f} GB free"
        yield Finding("devices", OK, f"cuda:{index}  {gpu['name']}, compute {gpu['compute']}, {size}")
        if not gpu["works"]:
            yield Finding(
                "devices", PROBLEM, f"cuda:{index} multiplies wrongly", "run nvidia-smi -q and look for errors"
            )
    if found.get("mps"):
        yield Finding("devices", OK, "mps")
    if "error" not in found:
        yield from _unused_gpu(found, root)
        if not found["gpus"] and not found["mps"]:
            yield Finding("devices", OK, 'cpu only: `hardware.device = "auto"` trains on it')


def _unused_gpu(found: dict[str, Any], root: Path) -> Iterator[Finding]:
    driver, present = nvidia_driver(root), nvidia_gpus(root)
    if found["gpus"] or not (driver or present):
        return
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        yield Finding("devices", NOTE, "CUDA_VISIBLE_DEVICES hides the NVIDIA GPU", "unset CUDA_VISIBLE_DEVICES")
    elif not driver:
        what = "an NVIDIA GPU is in this machine, and no driver for it is loaded"
        yield Finding("devices", NOTE, what, "install NVIDIA's driver, then look again with nvidia-smi")
    elif found["cuda_build"] is None:
        what = f"an NVIDIA GPU is here (driver {driver}), and torch {found['version']} was built without CUDA"
        todo = "install the build for CUDA that https://pytorch.org/get-started shows for your system"
        if platform.system() == "Linux":  # where the one on PyPI is built for CUDA
            todo = f"{INSTALL} --force-reinstall torch --index-url https://pypi.org/simple"
        yield Finding("devices", PROBLEM, what, todo)
    else:
        what = f"torch for CUDA {found['cuda_build']} cannot use the GPU under driver {driver}: {found['cuda_error']}"
        todo = "update NVIDIA's driver, or install a torch built for the CUDA version that nvidia-smi shows"
        yield Finding("devices", PROBLEM, what, todo)


def nvidia_driver(root: Path = ROOT) -> str:
    """Version of the loaded driver of NVIDIA; empty without one (Linux)."""
    try:
        words = (root / "proc/driver/nvidia/version").read_text().split()
    except OSError:
        return ""
    return next((word for word in words if word[:1].isdigit() and "." in word), "of unknown version")


def nvidia_gpus(root: Path = ROOT) -> int:
    """Graphics devices of NVIDIA on the PCI bus, with or without a driver (Linux)."""
    count = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            continue
        count += vendor == _NVIDIA and kind.startswith("0x03")
    return count


def look_at_kernels(found: dict[str, Any]) -> Iterator[Finding]:
    """What each operation of the kernel table runs on here, and what a faster implementation lacks."""
    if os.environ.get("NANOCHAT_KERNELS") == "naive":
        yield Finding("kernels", NOTE, "NANOCHAT_KERNELS=naive switches every kernel off", "unset NANOCHAT_KERNELS")
    for row in found.get("kernels", []):
        what = f"{row['operation']} on {row['device']}: {row['error'] or row['implementation']}"
        if row["error"]:
            todo = "update the plugin or disable it (NANOCHAT_DISABLE_PLUGINS), or set NANOCHAT_KERNELS=naive"
            yield Finding("kernels", PROBLEM, what, todo)
            continue
        lacks = {name: needs for name, needs in row["passed_over"].items() if needs}
        reasons = "; ".join(f"{name} needs {' and '.join(needs)}" for name, needs in lacks.items())
        packages = [
            need.partition(":")[2] for needs in lacks.values() if len(needs) == 1 for need in needs if ":" in need
        ]
        level = NOTE if packages else OK
        todo = f"install the Python package that brings `import {packages[0]}`" if packages else ""
        yield Finding("kernels", level, what + (f" ({reasons})" if reasons else ""), todo)


def look_at_python() -> Iterator[Finding]:
    """The interpreter."""
    bits = 64 if sys.maxsize > 2**32 else 32
    what = f"{platform.python_version()}, {bits}-bit, {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < (3, 11) or bits == 32:
        yield Finding("python", PROBLEM, what, "use a 64-bit Python, 3.11 or later")
    else:
        yield Finding("python", OK, what)

"""Judges the CPU, the memory, the compiler and the terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nanochat_framework.doctor.finding import NOTE, OK, Finding
from nanochat_framework.machine.compiler import compiling_problem, cpp_compiler
from nanochat_framework.machine.cpu import ROOT, cpu_flags, cpu_quota, usable_cores
from nanochat_framework.machine.memory import memory
from nanochat_framework.machine.terminal import why_no_colours

_SETS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
)
"""Instruction sets that matrix products gain from."""
_LITTLE_BYTES = 2_000_000_000
_PROGRAM = """\
#include <omp.h>
#include <vector>
extern "C" int cores() { return std::vector<int>(omp_get_max_threads()).size(); }
"""
_COMPILER_SECONDS = 60


def look_at_cpu(root: Path = ROOT) -> Iterator[Finding]:
    """Cores, instruction sets, and what else runs."""
    cores, present, quota = usable_cores(root), os.cpu_count() or 1, cpu_quota(root)
    sets = " ".join(each for each in _SETS if each in cpu_flags())
    why = f", the container's quota is {quota:.1f}" if quota is not None and quota < present else ""
    taken = f"{cores} of {present} cores{why}"
    yield Finding("cpu", OK, f"{taken}; {sets or 'instruction sets unknown'}")
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > cores:
        what = f"OMP_NUM_THREADS={asked} asks for more threads than there are cores ({cores})"
        yield Finding("cpu", NOTE, what, "unset OMP_NUM_THREADS; `hardware.threads` is the setting for a training")
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.5 * present:
        what = f"other programs keep the cores busy (load {os.getloadavg()[0]:.1f} on {present} cores)"
        yield Finding("cpu", NOTE, what, "speeds measured now are too low; see `top`")


def look_at_memory(root: Path = ROOT) -> Iterator[Finding]:
    """Main memory with the limits on it."""
    found = memory(root)
    what = f"{found.available / 1e9:.1f} of {found.total / 1e9:.1f} GB free"
    if found.limit is not None:
        what += f"; {found.limited_by} allows {found.limit / 1e9:.1f} GB"
    if found.available < _LITTLE_BYTES:
        todo = "close other programs or raise the limit; `nanochat plan CONFIG` tells what a training takes"
        yield Finding("memory", NOTE, what, todo)
    else:
        yield Finding("memory", OK, what)


def look_at_compiler() -> Iterator[Finding]:
    """Whether torch.compile could work on the CPU: a small program is really compiled."""
    compiler, install = cpp_compiler(), "install g++ (Debian, Ubuntu: apt install g++) or set CXX"
    if compiler is None:
        what = "there is no C++ compiler: `train.compile = true` fails on the CPU"
        yield Finding("compiler", NOTE, what, install)
        return
    flags = [] if sys.platform == "darwin" else ["-fopenmp"]
    program = _PROGRAM if flags else _PROGRAM.replace("#include <omp.h>\n", "").replace("omp_get_max_threads()", "1")
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-x", "c++", "-", "-shared", "-fPIC", *flags, "-o", str(Path(folder) / "program.so")]
        try:
            done = subprocess.run(
                command, input=program, capture_output=True, text=True, check=False, timeout=_COMPILER_SECONDS
            )
            complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            works = done.returncode == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            works, complaint = False, " ".join(str(error).split())
    problem = compiling_problem()
    if works and problem is not None:
        yield Finding("compiler", NOTE, f"`train.compile = true` fails on the CPU: {problem}", "see there")
    elif works:
        yield Finding("compiler", OK, f"{compiler} works, for `train.compile`")
    else:
        what = f"{compiler} cannot compile a small program with OpenMP: {complaint[:200]}"
        yield Finding("compiler", NOTE, what, install + ", with its headers and OpenMP")


def look_at_terminal() -> Iterator[Finding]:
    """Colours, width and encoding of what stdout is."""
    encoding = (sys.stdout.encoding or "unknown").lower()
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        yield Finding("terminal", OK, f"{columns} columns, {encoding}, {_colours()}")
        if columns < 80:
            yield Finding(
                "terminal", NOTE, f"{columns} columns are few: tables will wrap", "widen the window to 80 or more"
            )
    else:
        yield Finding("terminal", OK, f"stdout is no terminal, {encoding}: plain text, no progress bars")
    if not encoding.replace("-", "").startswith("utf8"):
        what = f"stdout takes {encoding}: other characters are shown as their codes"
        yield Finding("terminal", NOTE, what, "export PYTHONIOENCODING=utf-8 (or LANG=C.UTF-8)")


def _colours() -> str:
    if reason := why_no_colours():
        return f"no colours ({reason})"
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "16 million colours"
    return "256 colours" if "256" in os.environ.get("TERM", "") else "16 colours"

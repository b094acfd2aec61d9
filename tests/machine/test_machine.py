"""Limits that containers set, read from folders laid out as the kernel lays them out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nanochat_framework.machine import compiler as compiler_module
from nanochat_framework.machine.compiler import compiling_problem, cpp_compiler
from nanochat_framework.machine.cpu import cpu_quota, usable_cores
from nanochat_framework.machine.memory import memory

MEMINFO = "MemTotal:       8000000 kB\nMemFree: 1 kB\nMemAvailable:   6000000 kB\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
            },
            0.5,
        ),
        # a container whose groups have the host's names: only the mount point is there
        ({"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_quota_of_a_container(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    root = write(tmp_path, files)
    assert cpu_quota(root) == quota
    present = len(os.sched_getaffinity(0))
    assert usable_cores(root) == (present if quota is None else max(1, min(present, round(quota + 0.49))))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores_follow_the_affinity(tmp_path: Path) -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from nanochat_framework.machine.cpu import usable_cores; print(usable_cores())"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "limit", "available"),
    [
        ({}, None, 6_144_000_000),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, None, 6_144_000_000),
        (
            {
                "proc/self/cgroup": "0::/a\n",
                "sys/fs/cgroup/a/memory.max": "4000000000\n",
                "sys/fs/cgroup/a/memory.current": "3000000000\n",
                "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 1000000000\n",
            },
            4_000_000_000,
            2_000_000_000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n0::/\n",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "400000000\n",
            },
            1_000_000_000,
            600_000_000,
        ),
    ],
)
def test_memory_of_a_container(files: dict[str, str], limit: int | None, available: int, tmp_path: Path) -> None:
    found = memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files}))
    assert (found.total, found.limit, found.available) == (8_192_000_000, limit, available)


def test_a_limit_on_the_process_counts() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from nanochat_framework.machine.memory import memory; print(memory().limit, memory().limited_by)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1000000000 ulimit -v\n"


def test_this_machine_has_memory() -> None:
    assert 0 < memory().available <= memory().total


@pytest.mark.parametrize(
    ("folder", "torch_version", "refused"),
    [("/a b/torch", "2.13.0+cpu", True), ("/a b/torch", "2.15.0", False), ("/ab/torch", "2.11.0", False)],
)
def test_a_folder_with_a_space_is_too_much_for_some_torch(
    monkeypatch: pytest.MonkeyPatch, folder: str, torch_version: str, refused: bool
) -> None:
    torch = SimpleNamespace(version=torch_version, locate_file=lambda name: Path(folder))
    monkeypatch.setattr(compiler_module, "cpp_compiler", lambda: "/usr/bin/g++")
    monkeypatch.setattr(compiler_module, "distribution", lambda name: torch)
    problem = compiling_problem()
    assert (problem is not None and f"({folder}); make the environment in another folder" in problem) == refused


def test_the_compiler_is_what_the_path_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cpp_compiler() is None
    for name in ("clang++", "g++", "mine"):  # each before the one that was there
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        if name == "mine":
            monkeypatch.setenv("CXX", "mine")
        assert cpp_compiler() == str(tmp_path / name)

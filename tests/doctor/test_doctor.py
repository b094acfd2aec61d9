"""`nanochat doctor` on machines with something wrong: each fault is really there, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.doctor.packages import EXTRAS, Requirement
from nanochat_framework.doctor.probing import TorchProbe
from nanochat_framework.doctor.torch_look import look_at_devices, look_at_kernels, look_at_torch

NANOCHAT = [sys.executable, "-m", "nanochat_framework"]
NO_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""
Rows = list[dict[str, str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder at the head of the path, where torch cannot be imported (which is also much faster)."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_TORCH)
    return folder


def doctor(site: Path, *arguments: str, prefix: list[str] | None = None, **environ: str) -> tuple[int, Rows]:
    environment = {**os.environ, "PYTHONPATH": str(site), **environ}
    command = [*(prefix or []), *NANOCHAT, "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=site.parent)
    assert "Traceback" not in done.stderr
    rows: Rows = json.loads(done.stdout)
    assert all("\n" not in row["what"] + row["todo"] for row in rows)
    assert all(row["todo"] for row in rows if row["level"] != "ok")
    assert done.returncode == int(any(row["level"] == "problem" for row in rows))
    return done.returncode, rows


def of(rows: Rows, subject: str, level: str = "") -> Rows:
    return [row for row in rows if row["subject"] == subject and level in ("", row["level"])]


def test_a_sound_machine(tmp_path: Path) -> None:
    import torch

    _, rows = doctor(tmp_path)
    assert [row for row in rows if row["level"] == "problem" and row["subject"] in ("python", "torch", "kernels")] == []
    subjects = ["python", "packages", "torch", "devices", "kernels", "cpu", "memory", "compiler", "terminal"]
    subjects += ["disk", "plugins", "extras"]
    assert list(dict.fromkeys(row["subject"] for row in rows)) == subjects
    assert torch.__version__ in of(rows, "torch")[0]["what"]
    kernels = [row["what"] for row in of(rows, "kernels")]
    assert any(what.startswith("rms_norm on cpu: blocked") for what in kernels)


def test_without_torch(site: Path) -> None:
    code, rows = doctor(site)
    (row,) = of(rows, "torch")
    assert (code, row["level"], row["what"]) == (1, "problem", "torch is not installed")
    assert "pip install" in row["todo"] and "torch>=" in row["todo"]
    assert not of(rows, "kernels")
    assert of(rows, "plugins", "ok") and of(rows, "disk", "ok")


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (
            "raise OSError('libcudart.so.12: cannot open shared object file')",
            "does not import: OSError: libcudart.so.12: cannot open shared object file",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "importing torch ended the process by SIGILL"),
        ("import os, sys; print('bad ELF', file=sys.stderr); os._exit(127)", "with code 127: bad ELF"),
    ],
)
def test_torch_that_does_not_import(source: str, what: str, site: Path) -> None:
    (site / "sitecustomize.py").unlink()
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(source)
    _, rows = doctor(site)
    (row,) = of(rows, "torch")
    assert row["level"] == "problem"
    assert what in row["what"]
    assert "--force-reinstall" in row["todo"]


def test_torch_that_hangs(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "sitecustomize.py").unlink()
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(site))
    probe = TorchProbe(patience=0.5)
    assert "more than" in probe.result()["error"]
    assert probe._child.returncode is not None, "the child is gone"


FOUND: dict[str, Any] = {
    "version": "2.13.0+cpu",
    "cuda_build": None,
    "cuda_error": "",
    "cpu_capability": "AVX2",
    "gpus": [],
    "mps": False,
    "kernels": [],
}


@pytest.mark.parametrize(("version", "level"), [("2.13.0", "ok"), ("1.13.1+cu117", "problem"), ("2.10.9", "problem")])
def test_the_range_of_torch(version: str, level: str) -> None:
    (row,) = look_at_torch({**FOUND, "version": version})
    assert row.level == level
    assert (version in row.what) and (level == "ok" or "torch>=2.11" in row.todo)


def machine(root: Path, *, driver: bool, gpu: bool) -> Path:
    """A machine's /proc and /sys as Linux shows an NVIDIA GPU."""
    if driver:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\n"
        (root / "proc/driver/nvidia/version").write_text(text)
    device = root / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n" if gpu else "0x8086\n")
    (device / "class").write_text("0x030000\n")
    return root


@pytest.mark.parametrize(
    ("changes", "driver", "gpu", "level", "what", "todo"),
    [
        ({}, False, False, "ok", "cpu only", ""),
        ({}, True, True, "problem", "(driver 535.54.03), and torch 2.13.0+cpu was built without CUDA", "torch"),
        ({}, False, True, "note", "no driver for it is loaded", "nvidia-smi"),
        (
            {"cuda_build": "13.0", "cuda_error": "RuntimeError: The NVIDIA driver on your system is too old"},
            True,
            True,
            "problem",
            "torch for CUDA 13.0 cannot use the GPU under driver 535.54.03: RuntimeError: The NVIDIA driver",
            "update NVIDIA's driver",
        ),
    ],
)
def test_a_gpu_that_cannot_be_used(
    changes: dict[str, Any], driver: bool, gpu: bool, level: str, what: str, todo: str, tmp_path: Path
) -> None:
    row = next(iter(look_at_devices({**FOUND, **changes}, machine(tmp_path, driver=driver, gpu=gpu))))
    assert row.level == level
    assert what in row.what and todo in row.todo


def test_a_gpu_that_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    row = next(iter(look_at_devices({**FOUND, "cuda_build": "13.0"}, machine(tmp_path, driver=True, gpu=True))))
    assert (row.level, row.todo) == ("note", "unset CUDA_VISIBLE_DEVICES")


def test_kernels_say_what_they_lack() -> None:
    row = {"operation": "gated_delta_rule", "device": "cuda", "implementation": "chunked", "error": ""}
    (found,) = look_at_kernels({"kernels": [{**row, "passed_over": {"fast": ["package:fla"]}}]})
    assert found.what == "gated_delta_rule on cuda: chunked (fast needs package:fla)"
    assert (found.level, found.todo) == ("note", "install the Python package that brings `import fla`")
    (found,) = look_at_kernels({"kernels": [{**row, "passed_over": {"fast": ["compute>=9.0"]}}]})
    assert (found.level, found.todo) == ("ok", ""), "nobody can install another GPU"
    (found,) = look_at_kernels({"kernels": [{**row, "error": "ValueError: no"}]})
    assert found.level == "problem"


def test_no_compiler(site: Path) -> None:
    (site / "bin").mkdir()
    _, rows = doctor(site, PATH=str(site / "bin"), CXX="")
    (row,) = of(rows, "compiler")
    assert row["level"] == "note" and "there is no C++ compiler" in row["what"]


def test_a_compiler_that_does_not_compile(site: Path) -> None:
    compiler = site / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\necho "<stdin>:1:10: fatal error: omp.h: No such file or directory" >&2\nexit 1\n')
    compiler.chmod(0o755)
    environ = {key: value for key, value in os.environ.items() if key == "CXX"}
    _, rows = doctor(site, PATH=f"{compiler.parent}:{os.environ['PATH']}", **{**environ, "CXX": "g++"})
    (row,) = of(rows, "compiler")
    assert row["level"] == "note" and "omp.h: No such file" in row["what"]


def test_plugins_that_are_ill(site: Path) -> None:
    good = "from nanochat_framework.plugins import hookimpl\nNANOCHAT_PLUGIN_API = 1\n@hookimpl\n"
    good += "def nanochat_register(registrar):\n    pass\n"
    sources = {
        "broken": "import no_such_package_at_all",
        "ancient": "NANOCHAT_PLUGIN_API = 0",
        "slow": "import time; time.sleep(0.4)\n" + good,
        "unwanted": good,
    }
    for name, source in sources.items():
        (site / f"acme_{name}.py").write_text(source)
        info = site / f"acme_{name}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[nanochat]\n{name} = acme_{name}\n")
    environ = {"NANOCHAT_DISABLE_PLUGINS": "unwanted", "NANOCHAT_LOAD_PLUGINS": "broken,ancient,slow,unwanted"}
    _, rows = doctor(site, **environ)
    found = {row["what"].split()[0]: row for row in of(rows, "plugins") if row["what"].split()[1].startswith("(acme")}
    assert {name: row["level"] for name, row in found.items()} == {
        "broken": "problem",
        "ancient": "problem",
        "slow": "note",
        "unwanted": "note",
    }
    assert "No module named 'no_such_package_at_all'" in found["broken"]["what"]
    assert "NANOCHAT_DISABLE_PLUGINS=broken" in found["broken"]["todo"]
    assert "ms to load" in found["slow"]["what"]


def test_a_full_disk(site: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare is not here")
    disk = site / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=64k none "{disk}" && head -c 70000 /dev/zero >"{disk}/full"; exec "$@"'
    trial = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=64k none "{disk}"']
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("this system lets an ordinary user mount nothing")
    _, rows = doctor(site, "--runs-dir", str(disk / "runs"), prefix=["unshare", "-rm", "sh", "-c", script, "sh"])
    row = next(row for row in of(rows, "disk") if row["what"].startswith("runs in"))
    assert row["level"] == "problem" and "No space left on device" in row["what"]
    assert "nanochat runs rm" in row["todo"]


def test_a_file_where_the_runs_should_be(site: Path) -> None:
    (site / "taken").touch()
    code, rows = doctor(site, NANOCHAT_RUNS_DIR=str(site / "taken" / "runs"))
    assert code == 1
    assert "taken is a file" in of(rows, "disk")[0]["what"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may run a program as another user"
)
def test_a_user_without_a_home(site: Path) -> None:
    """As containers with an arbitrary user id have it."""
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    script = (
        "import os, pwd\nfrom pathlib import Path\nfrom nanochat_framework.doctor.disk_look import look_at_disk\n"
        "os.setuid(54321)\nprint(*[each.what for each in look_at_disk(Path('/tmp'))], sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "cache: Could not determine home directory" in done.stdout, done.stderr


def test_a_look_that_fails_is_a_finding(site: Path) -> None:
    """Without pluggy, say, the plugins cannot be looked at, and everything else still is."""
    (site / "pluggy.py").write_text("raise ImportError('pluggy is broken here')")
    _, rows = doctor(site)
    (row,) = of(rows, "plugins")
    assert row["level"] == "problem" and "ImportError: pluggy is broken here" in row["what"]
    assert of(rows, "disk") and of(rows, "extras")
    (site / "sitecustomize.py").unlink()
    _, rows = doctor(site)
    assert of(rows, "torch", "ok"), "torch is not to blame"
    assert "pluggy is broken here" in of(rows, "kernels", "problem")[0]["what"]


def test_no_temporary_folder_can_be_written(site: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare is not here")
    readonly = site / "empty"
    readonly.mkdir()
    script = f'mount -t tmpfs -o ro none "{readonly}" && exec "$@"'
    prefix = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets an ordinary user mount nothing")
    _, rows = doctor(site, "--runs-dir", str(readonly / "runs"), prefix=prefix)
    row = of(rows, "disk")[0]
    assert row["level"] == "problem" and "Read-only file system" in row["what"]
    assert "NANOCHAT_RUNS_DIR" in row["todo"]


@pytest.mark.parametrize(
    ("environ", "columns", "expected"),
    [
        ({"TERM": "xterm-256color"}, 100, "100 columns, utf-8, 256 colours"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, 100, "no colours (NO_COLOR is set)"),
        ({"TERM": "dumb"}, 60, "60 columns are few"),
        ({"TERM": "xterm", "PYTHONIOENCODING": "ascii"}, 100, "stdout takes ascii"),
    ],
)
def test_terminals(environ: dict[str, str], columns: int, expected: str, site: Path) -> None:
    """In a real terminal: a pseudo-terminal of that width."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "COLORTERM")}
    environment = {**clean, "PYTHONPATH": str(site), "PYTHONIOENCODING": "utf-8", **environ}
    child = subprocess.Popen(
        [*NANOCHAT, "doctor"], stdout=follower, stderr=subprocess.DEVNULL, env=environment, cwd=site.parent
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # the other side is closed
        pass
    child.wait()
    os.close(leader)
    assert expected in shown.decode()
    assert (b"\x1b[31m" in shown) == ("NO_COLOR" not in environ and environ["TERM"] != "dumb")


def test_only_what_is_wrong(site: Path) -> None:
    _, rows = doctor(site, "--problems")
    assert rows and all(row["level"] != "ok" for row in rows)


def test_every_extra_is_explained() -> None:
    declared = set(metadata.metadata("nanochat-framework").get_all("Provides-Extra") or [])
    assert set(EXTRAS) == declared - {"test", "dev", "docs"}


@pytest.mark.parametrize(
    ("specifier", "version", "accepted"),
    [
        (">=2.11", "2.11.0", True),
        (">=2.11", "2.11", True),
        (">=2.11", "2.9.1", False),
        ("<3,>=2.11", "3.0.0", False),
        ("<3,>=2.11", "2.99.dev1", True),
        ("==1.2", "1.2.0", True),
        ("!=1.2", "1.2.0", False),
        ("", "0", True),
    ],
)
def test_ranges(specifier: str, version: str, accepted: bool) -> None:
    assert Requirement("x", specifier).accepts(version) == accepted

"""The built wheel, installed where the repository is not: commands and presets are there, and nothing leaks."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.clean_environment import third_party_packages
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def site(repository_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel") / "site"
    zipfile.ZipFile(repository_wheel).extractall(folder)
    return folder


def _run(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the wheel and the third-party packages, but not this repository's editable install."""
    clean = cwd / "packages"
    if not clean.exists():
        third_party_packages(clean)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(clean)))}
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_commands_and_presets_come_with_the_wheel(site: Path, tmp_path: Path) -> None:
    for arguments in (["config", "check", "tiny-cpu"], ["plugins", "list"], ["plan", "nano_125m"]):
        done = _run(site, tmp_path, "-m", "nanochat_framework", *arguments)
        assert done.returncode == 0, done.stderr
    where = _run(site, tmp_path, "-c", "import nanochat_framework; print(nanochat_framework.__file__)").stdout
    assert str(site) in where


def test_the_benchmark_and_the_schema_come_with_the_wheel(site: Path) -> None:
    assert (site / "nanochat_framework" / "benchmarks" / "optimizers.toml").is_file()
    shipped = site / "nanochat_framework" / "nanochat.schema.json"
    assert shipped.read_bytes() == (REPOSITORY / "configs" / "nanochat.schema.json").read_bytes(), "completion reads it"


def test_a_run_from_the_wheel(site: Path, tmp_path: Path) -> None:
    options = ["--dataset", "synthetic", "--set", "train.steps=2", "--set", "schedule.warmup_steps=0", "--quiet"]
    done = _run(site, tmp_path, "-m", "nanochat_framework", "train", "tiny-cpu", "--run", "x", *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "x" / "checkpoints" / "final" / "model.safetensors").is_file()


def test_new_plugins_come_from_the_wheel(site: Path, tmp_path: Path) -> None:
    for kind in ("optimizer", "source"):
        command = ["plugins", "new", f"my_{kind}", "--kind", kind, "--vendor", "jo"]
        done = _run(site, tmp_path, "-m", "nanochat_framework", *command)
        assert done.returncode == 0, done.stderr
        files = {path.name for path in (tmp_path / done.stdout.strip()).rglob("*") if path.is_file()}
        assert {"pyproject.toml", ".gitignore", "README.md", "py.typed", "config.py", "test_contract.py"} <= files


def test_no_import_name_leaks(site: Path, tmp_path: Path) -> None:
    names = {entry.name for entry in site.iterdir() if not entry.name.endswith(".dist-info")}
    assert names == {n for n in names if n.startswith("nanochat_")}
    for name in ("tests", "tui", "plugins", "configs", "examples", "benchmarks"):
        done = _run(site, tmp_path, "-c", f"import {name}")
        assert "ModuleNotFoundError" in done.stderr, f"import {name} works"


def test_every_preset_is_in_the_wheel(site: Path) -> None:
    shipped = {path.name for path in (site / "nanochat_framework" / "presets").glob("*.toml")}
    assert shipped == {path.name for path in (REPOSITORY / "configs" / "models").glob("*.toml")}

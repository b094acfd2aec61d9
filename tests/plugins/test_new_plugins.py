"""A plugin of every kind, as `nanochat plugins new` writes it: built, installed, checked, and its own tests run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.plugins import KINDS
from nanochat_framework.plugins.scaffold import NewPlugin

BUILD = "import sys\nfrom setuptools import build_meta\nbuild_meta.build_wheel(sys.argv[1])"


class Installed:
    """A folder of distributions, and one of what pip made of their wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site, wheels = folder, folder / "site", folder / "wheels"
        self.plugins = [NewPlugin(kind, "jo", f"my_{kind}") for kind in KINDS]
        for plugin in self.plugins:
            plugin.write(folder)
            self.run("-c", BUILD, str(wheels), cwd=folder / plugin.distribution)
        pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(self.site)]
        self.run(*pip, *map(str, sorted(wheels.glob("*.whl"))))

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run Python where the plugins are installed; its stdout."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("new"))


def test_every_kind_is_there_and_passes_the_check(installed: Installed) -> None:
    names = [plugin.plugin for plugin in installed.plugins]
    rows = json.loads(installed.run("-m", "nanochat_framework", "plugins", "check", "--json", *names))
    assert {row["kind"] for row in rows} == set(KINDS)
    assert {row["plugin"] for row in rows} == set(names)
    assert [row for row in rows if row["wrong"]] == []


def test_its_own_tests_pass(installed: Installed) -> None:
    folders = [str(installed.folder / plugin.distribution / "tests") for plugin in installed.plugins]
    pytest_ = [
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "--rootdir",
        str(installed.folder),
    ]
    output = installed.run(*pytest_, "-c", os.devnull, *folders)
    assert " passed" in output and "failed" not in output

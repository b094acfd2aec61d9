"""What a stranger has who installed our wheel: an environment of its own, in which nothing leads to this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OFFLINE = {
    "PIP_NO_INDEX": "1",  # what is needed is there, and no test asks the network
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the option's value: 0 builds with what is installed
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "OMP_NUM_THREADS": "1",
}


def third_party_packages(folder: Path) -> None:
    """Make a folder of links to every installed package but ours and editable ones."""
    folder.mkdir()
    for place in (Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")):
        for entry in place.iterdir():
            link = folder / entry.name
            if "nanochat" not in entry.name and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)


def built_wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, built from a copy: setuptools leaves folders in the place where it builds."""
    copy = folder / "copy"
    everywhere = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    at_the_top = shutil.ignore_patterns("build", "dist", "runs", "data", "demo", "tests", "docs", "benchmarks")

    def left_out(place: str, names: list[str]) -> set[str]:
        return everywhere(place, names) | (at_the_top(place, names) if Path(place) == project else set())

    shutil.copytree(project, copy, symlinks=True, ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, env={**os.environ, **OFFLINE}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


class CleanEnvironment:
    """A virtual environment with the third-party packages of this one and our wheel, and a folder to work in."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
        third_party_packages(folder / "packages")
        (site,) = (folder / "env").glob("lib/*/site-packages")
        (site / "third_party.pth").write_text(f"{folder / 'packages'}\n")
        self.run("python", "-m", "pip", "install", "--quiet", "--no-deps", str(wheel))

    def run(self, *command: str, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment (`nanochat`, `python`, `pip`, `pytest`) and hold it to its exit code."""
        program, *arguments = command
        start = [str(self.folder / "env" / "bin" / program)]
        if program in ("pip", "pytest"):  # linked packages bring no programs
            start = [str(self.folder / "env" / "bin" / "python"), "-m", program]
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NANOCHAT_LOAD_PLUGINS")
        }
        done = subprocess.run(
            [*start, *arguments],
            cwd=cwd or self.work,
            env={**environment, **OFFLINE},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (
            f"{command}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done

"""A folder where plugins are installed, and commands in processes of their own that find them there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from tests.conftest import tiny_dict


@dataclass
class Trained:
    """A training that is over: its folder, what it said, and its exit code."""

    run: Path
    code: int
    stdout: str
    stderr: str

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        lines = (self.run / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] in kinds]

    def told(self) -> list[list[Any]]:
        return [json.loads(line) for line in (self.run / "told.jsonl").read_text().splitlines()]


class Place:
    """A folder where plugins are installed, and trainings that find them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, **modules: str) -> None:
        package = self.folder / f"plugin_{name}"
        package.mkdir()
        for module, source in modules.items():
            (package / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"plugin_{name}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[nanochat]\n{name} = plugin_{name}\n")

    def train(self, **changes: Any) -> Trained:
        config = self.folder / "tiny.toml"
        base = {"train__steps": 5, "eval": {"every": 4, "batches": 1}, "checkpoint": {"every": 3, "keep_last": 5}}
        config.write_text(tomli_w.dumps(tiny_dict(**{**base, **changes})))
        return self.nanochat("train", str(config), "--run", "x", "--runs-dir", str(self.folder / "runs"), "--quiet")

    def nanochat(self, *arguments: str) -> Trained:
        environ = {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "nanochat_framework", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        return Trained(self.folder / "runs" / "x", done.returncode, done.stdout, done.stderr)

"""A run's folder: made once, whole or not at all, and found again by name or path."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanochat_framework import __version__
from nanochat_framework.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*\Z")


def default_runs_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`NANOCHAT_RUNS_DIR`, or `runs` in the working directory."""
    return Path(environ.get("NANOCHAT_RUNS_DIR") or "runs")


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def run_json(self) -> Path:
        """Who, when, where, how; written once."""
        return self.path / "run.json"

    @property
    def config_source(self) -> Path:
        """The TOML as it was given, byte for byte."""
        return self.path / "config.source.toml"

    @property
    def config_resolved(self) -> Path:
        """The configuration with every default filled in."""
        return self.path / "config.resolved.json"

    @property
    def components_lock(self) -> Path:
        """Plugin, distribution and version of each component."""
        return self.path / "components.lock.json"

    @property
    def status(self) -> Path:
        """What it is doing now."""
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        """Records by step."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """What happened."""
        return self.path / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @classmethod
    def create(
        cls,
        runs_dir: Path,
        name: str | None,
        *,
        label: str,
        source_toml: bytes,
        resolved: dict[str, Any],
        components_lock: list[dict[str, Any]],
        overrides: list[str],
        argv: list[str],
    ) -> RunDirectory:
        """Make a run's folder. Without a name it gets the date, `label` and a number.

        Raises UsageError if the name is taken or unusable, or the folder cannot be written.
        """
        if name is not None and not _NAME.match(name):
            raise UsageError(f"--run {name!r}: use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit")
        facts = {
            "schema_version": 1,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "argv": argv,
            "overrides": overrides,
            "framework": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "config_sha256": hashlib.sha256(source_toml).hexdigest(),
        }
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            staging = runs_dir / f".tmp-{os.getpid()}-{time.monotonic_ns()}"
            staging.mkdir()
        except OSError as error:
            raise UsageError(f"{runs_dir}: cannot make a run there ({error.strerror})") from None
        run = cls(staging)
        run.config_source.write_bytes(source_toml)
        run.config_resolved.write_text(json.dumps(resolved, indent=1, sort_keys=True) + "\n")
        run.components_lock.write_text(json.dumps(components_lock, indent=1) + "\n")
        run.checkpoints.mkdir()
        try:
            return cls(_claim(staging, runs_dir, name, label, facts))
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run's folder. Raises UsageError if it is none."""
        run = cls(path)
        if not run.run_json.is_file():
            raise UsageError(f"{path}: not a run (it has no run.json)")
        return run

    @classmethod
    def find(cls, runs_dir: Path, name: str) -> RunDirectory:
        """A run by name, or by the path of its folder. Raises UsageError with near names."""
        for path in (runs_dir / name, Path(name)):
            if (path / "run.json").is_file():
                return cls(path)
        names = [path.parent.name for path in runs_dir.glob("*/run.json")]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else (f"; there are: {', '.join(sorted(names))}" if names else "")
        raise UsageError(f"no run {name!r} in {runs_dir}{hint}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run, so that no two trainings drive it. Raises UsageError, with the holder's pid, if it is held."""
        with (self.path / ".lock").open("a+") as file:
            try:
                import fcntl
            except ImportError:  # not on this system: nothing to hold
                yield
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise UsageError(f"{self.path}: process {file.read().strip() or '?'} is training this run") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _claim(staging: Path, runs_dir: Path, name: str | None, label: str, facts: dict[str, Any]) -> Path:
    """Rename the staged folder to its name; the first free number if none was given."""
    stem = f"{datetime.now(UTC):%Y-%m-%d}_{label}"
    candidates = [name] if name else [f"{stem}-{number:04d}" for number in range(1, 10_000)]
    for candidate in candidates:
        target = runs_dir / candidate
        if target.exists():
            continue
        (staging / "run.json").write_text(json.dumps({"name": candidate, **facts}, indent=1) + "\n")
        try:
            os.rename(staging, target)
        except OSError:
            continue  # somebody else was faster
        return target
    raise UsageError(f"{runs_dir / (name or stem)} exists; `nanochat resume {name or stem}` goes on with it, or choose another --run")

"""A run's folder: made once, whole or not at all, and found again by name or path."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanochat_framework import __version__
from nanochat_framework.config.presets import FROZEN
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.runs.atomic import DiskFull, disk_full_reason, sync_file, sync_folder
from nanochat_framework.runs.jsonlines import plain
from nanochat_framework.runs.lock import hold
from nanochat_framework.runs.process import host_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,127}\Z")
_STAGING = ".new-"
_STAGING_LIMIT_S = 3600.0


def default_runs_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`NANOCHAT_RUNS_DIR`, or `runs` in the working directory."""
    return Path(environ.get("NANOCHAT_RUNS_DIR") or "runs").expanduser()


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.absolute().name

    @property
    def run_json(self) -> Path:
        """Who, when, where, how; written once."""
        return self.path / "run.json"

    @property
    def config_resolved(self) -> Path:
        """The configuration with every default filled in."""
        return self.path / FROZEN

    @property
    def components_lock(self) -> Path:
        """Plugin, distribution and version of each component."""
        return self.path / "components.lock.json"

    @property
    def status(self) -> Path:
        """What it is doing now; see `runs.status`."""
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        """Records by step; see `runs.metrics`."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """What happened; see `runs.events`."""
        return self.path / "events.jsonl"

    @property
    def samples(self) -> Path:
        """Texts generated during training."""
        return self.path / "samples.jsonl"

    @property
    def control(self) -> Path:
        """Requests to the training, appended by anybody who may write here."""
        return self.path / "control.jsonl"

    @property
    def tags(self) -> Path:
        """Words that people gave the run; see `runs.tags`."""
        return self.path / "tags.json"

    @property
    def alias_json(self) -> Path:
        """Another name that people gave the run; see `runs.alias`."""
        return self.path / "alias.json"

    @property
    def alias(self) -> str | None:
        """The run's other name; None where it has none that can be read."""
        try:
            alias = json.loads(self.alias_json.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return alias if isinstance(alias, str) and _NAME.match(alias) else None

    @property
    def train_log(self) -> Path:
        """What the training process printed, if it was started with its output going here."""
        return self.path / "train.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints; see `runs.checkpoint_store`."""
        return self.path / "checkpoints"

    def config_sources(self) -> list[Path]:
        """The copies of the configuration's files, byte for byte: the one that was named, the one that it extends, ..."""
        copies = (self.path / _source_name(number) for number in itertools.count())
        return list(itertools.takewhile(Path.is_file, copies))

    def info(self) -> dict[str, Any]:
        """run.json. Raises UsageError if it cannot be read."""
        return _object(self.run_json)

    def config(self) -> dict[str, Any]:
        """The resolved configuration, not validated. Raises UsageError if it cannot be read."""
        return _object(self.config_resolved)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run, so that no two trainings drive it. Raises UsageError, naming the holder, if it is held."""
        return hold(self.path / ".lock")

    @classmethod
    def create(
        cls,
        runs_dir: Path,
        name: str | None,
        *,
        label: str = "run",
        sources: Sequence[tuple[str, bytes]],
        resolved: Mapping[str, Any],
        components_lock: Mapping[str, Any] | Sequence[Any],
        overrides: Sequence[str],
        argv: Sequence[str],
        parent: str | None = None,
        fill: Callable[[Path], None] | None = None,
    ) -> RunDirectory:
        """Make a run's folder, whole or not at all. Without a name it gets `<date>_<label>-<number>`.

        `sources` are the files of the configuration (path and bytes): the one that was named, the one it extends, and
        so on. `parent` is the run (and checkpoint) that this one starts from, if any; `fill` puts further files
        into the folder before it has its name. Raises UsageError if the name is taken
        or unusable or the folder cannot be written, DiskFull if there is no room.
        """
        if name is not None:
            check_name(name)
            _check_alias(runs_dir, name)
        resolved_json = _json(resolved)
        paths = [path for path, _ in sources]
        facts = _facts(resolved_json, config_sources=paths, overrides=list(overrides), argv=list(argv), parent=parent)
        content = {
            **{_source_name(number): source for number, (_, source) in enumerate(sources)},
            FROZEN: resolved_json,
            "components.lock.json": _json(components_lock),
        }
        staging = runs_dir / f"{_STAGING}{facts['id']}"
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(runs_dir)
            _fill(staging, content)
            if fill is not None:
                fill(staging)
            return cls(_claim(staging, runs_dir, name, label, facts))
        except OSError as error:
            reason = disk_full_reason(error)
            if reason:
                raise DiskFull(f"{runs_dir}: cannot make a run there: {reason}") from None
            raise UsageError(f"{runs_dir}: cannot make a run there ({error.strerror})") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run's folder. Raises UsageError if it is none."""
        run = cls(path)
        if not run.run_json.is_file():
            raise UsageError(f"{path}: not a run (it has no run.json)")
        return run

    @classmethod
    def find(cls, runs_dir: Path, name: str) -> RunDirectory:
        """A run by name, by the path of its folder, or by its alias. Raises UsageError with near names."""
        for path in (runs_dir / name, Path(name)):
            if name and os.path.isfile(path / "run.json"):  # False, not an error, for a name that is no path
                return cls(_ending_in_a_name(path))
        runs = cls.all(runs_dir)
        aliases = {run.alias: run for run in runs if run.alias}
        if name in aliases:
            return aliases[name]
        names = [*aliases, *(run.name for run in runs)]
        near = difflib.get_close_matches(name, names, n=1)
        if near:
            hint = f"; did you mean {near[0]!r}?"
        else:
            hint = f"; there are: {', '.join(names[-8:])}" if names else ", and no run at all"
        raise UsageError(f"no run {name!r} in {runs_dir}{hint}")

    @classmethod
    def all(cls, runs_dir: Path) -> list[RunDirectory]:
        """All runs in a folder, by name."""
        return [cls(path.parent) for path in sorted(runs_dir.glob("[!.]*/run.json"))]


def find_to_resume(target: str, runs_dir: Path) -> tuple[RunDirectory, str | None]:
    """A run by name or path; by the path of one of its checkpoints, that checkpoint's name as well. Raises UsageError."""
    path = Path(target)
    is_folder = os.path.isdir(path)  # False, not an error, for what is no path
    if is_folder and path.parent.name == "checkpoints" and path.name != "..":
        return RunDirectory.open(_ending_in_a_name(path.parent.parent)), path.name
    return RunDirectory.find(runs_dir, target), None


def _ending_in_a_name(path: Path) -> Path:
    """A path to the same folder whose last part is the folder's name, not `.` or `..`; links keep theirs where they can."""
    if path.name not in ("", ".."):
        return path
    plain = os.path.abspath(path)
    try:
        same = os.path.samefile(plain, path)
    except OSError:
        same = False
    return Path(plain if same else os.path.realpath(path))  # `..` of a link is beside what it leads to


def _source_name(number: int) -> str:
    return f"config.source.{number}.toml" if number else "config.source.toml"


def check_name(name: str, what: str = "--run") -> None:
    """Raises UsageError if a run cannot be called that; `what` asks for it."""
    if not _NAME.match(name):
        raise UsageError(
            f"{what} {name!r}: not a name for a run; use up to 128 letters, digits and . _ + = @ -, beginning with a "
            "letter or digit"
        )


def check_free(runs_dir: Path, name: str) -> None:
    """Raises UsageError if a run cannot be called that, or something there is."""
    check_name(name)
    if os.path.lexists(runs_dir / name):
        raise UsageError(_taken(runs_dir / name))
    _check_alias(runs_dir, name)


def _check_alias(runs_dir: Path, name: str) -> None:
    other = next((run for run in RunDirectory.all(runs_dir) if run.alias == name), None)
    if other is not None:
        raise UsageError(f"--run {name}: another name of {other.path}; choose another one")


def _facts(resolved_json: bytes, **given: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "id": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host_name(),
        **given,
        "config_sha256": hashlib.sha256(resolved_json).hexdigest(),
        "framework": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UsageError."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: is not a JSON object")
    return data


def _json(data: Any) -> bytes:
    return json.dumps(plain(data), indent=1, allow_nan=False).encode("ascii") + b"\n"


def _fill(staging: Path, content: Mapping[str, bytes]) -> None:
    (staging / "checkpoints").mkdir(parents=True)
    for file, data in content.items():
        (staging / file).write_bytes(data)
        sync_file(staging / file)


def _claim(staging: Path, runs_dir: Path, name: str | None, label: str, facts: Mapping[str, Any]) -> Path:
    """Give the staged folder its name, the first free number if none was asked for. Raises UsageError or OSError."""
    safe_label = re.sub(r"[^A-Za-z0-9._+=@-]+", "_", label)[:96]
    stem = f"{datetime.now().astimezone():%Y-%m-%d}_{safe_label}"
    for number in range(1, 10_000):
        target = runs_dir / (name or f"{stem}-{number:04d}")
        if not os.path.lexists(target):
            (staging / "run.json").write_bytes(_json({"name": target.name, **facts}))
            sync_file(staging / "run.json")
            sync_folder(staging)
            try:
                os.rename(staging, target)
            except OSError:
                if not os.path.lexists(target):
                    raise
            else:
                sync_folder(runs_dir)
                return target
        if name:
            raise UsageError(_taken(target))
    raise NanochatError(f"{runs_dir}: no number left for {stem}; give the run a name with --run")


def _taken(target: Path) -> str:
    if (target / "run.json").is_file():
        return f"{target}: the name is taken; `nanochat resume {target}` continues that run, or choose another --run"
    return f"{target}: exists and is not a run; choose another --run"


def _remove_abandoned(runs_dir: Path) -> None:
    """Remove what a crash inside `create` left behind; a folder that is an hour old is not being written any more."""
    for entry in runs_dir.glob(f"{_STAGING}*"):
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if time.time() - entry.stat().st_mtime > _STAGING_LIMIT_S:
                shutil.rmtree(entry, ignore_errors=True)

"""A new run that goes on from a checkpoint of another one, with some settings changed; the other run stays as it is."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nanochat_framework.config.budgets import settle
from nanochat_framework.config.checks import cross_checks
from nanochat_framework.config.load import components_lock, validate
from nanochat_framework.config.overrides import apply_overrides
from nanochat_framework.config.problems import Location
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.config.toml_lines import dotted
from nanochat_framework.errors import ConfigError, Problem, UsageError
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.checkpoint_manifest import recorded_step
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.checkpoints import whole_checkpoint
from nanochat_framework.runs.control import settings_at
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.jsonlines import encode, read
from nanochat_framework.runs.process import host_name
from nanochat_framework.runs.status import StatusFile


def fork(
    parent: RunDirectory,
    registry: Registry,
    *,
    runs_dir: Path,
    name: str | None,
    checkpoint: str | None = None,
    overrides: Sequence[str] = (),
    argv: Sequence[str] = (),
) -> RunDirectory:
    """Make the folder of a run that begins at a checkpoint of `parent` (its newest whole one if none is named).

    The checkpoint's files are shared where the file system can; removing either run leaves the other whole. What
    `nanochat runs set` had changed by then holds on, but for keys among `overrides`. Raises UsageError (ConfigError for
    settings) where this cannot be done.
    """
    folder, step, config = checked(parent, registry, checkpoint=checkpoint, overrides=overrides)
    said = {text.partition("=")[0].strip() for text in overrides}
    settings = {key: value for key, value in settings_at(read(parent.events), step).items() if key not in said}

    def fill(staging: Path) -> None:
        CheckpointStore(staging / "checkpoints").link(folder, step_name(step))
        if settings:
            by = {"host": host_name(), "pid": os.getpid(), "forked_from": parent.name}
            event = {"time": time.time(), "attempt": 0, "kind": "set", "step": step, "settings": settings, "by": by}
            (staging / "events.jsonl").write_bytes(encode(event))

    info = parent.info()
    run = RunDirectory.create(
        runs_dir,
        name,
        label=parent.name,
        sources=_sources(parent, info),
        resolved=config.to_dict(),
        components_lock=components_lock(config),
        overrides=[*info.get("overrides", []), *overrides],
        argv=argv,
        parent=f"{parent.name}/{folder.name}",
        fill=fill,
    )
    nobody = {"pid": None, "pid_start_time": None}
    StatusFile(run.status).update(state="queued", step=step, total_steps=config.train.steps or 0, **nobody)
    return run


def checked(
    parent: RunDirectory, registry: Registry, *, checkpoint: str | None = None, overrides: Sequence[str] = ()
) -> tuple[Path, int, RunConfig]:
    """Folder and step of the checkpoint that a fork begins at, and its configuration; nothing is made.

    Raises UsageError (ConfigError for settings) where there can be no such fork.
    """
    folder, step = _checkpoint(parent, checkpoint)
    config = _changed(parent, registry, overrides)
    if config.train.steps is not None and config.train.steps <= step:
        raise UsageError(
            f"train.steps: {folder.name} is at step {step} of {config.train.steps}; set more to go on from it"
        )
    return folder, step, config


def _checkpoint(parent: RunDirectory, name: str | None) -> tuple[Path, int]:
    """Folder and step of the checkpoint to go on from. Raises UsageError if it is not whole."""
    store = CheckpointStore(parent.checkpoints)
    folder = store.latest() if name is None else whole_checkpoint(parent, name)
    if folder is None:
        raise UsageError(f"{parent.path}: has no whole checkpoint to go on from")
    step = recorded_step(folder)
    if step is None:
        raise UsageError(f"{folder}: cannot go on from it: it names no step")
    return folder, step


def _changed(parent: RunDirectory, registry: Registry, overrides: Sequence[str]) -> RunConfig:
    """The parent's configuration with changes. Raises ConfigError with every mistake."""
    data = parent.config()
    applied, problems = apply_overrides(data, overrides)

    def where(location: Location) -> str:
        touched = any(o.path[: len(location)] == location or location[: len(o.path)] == o.path for o in applied)
        return "--set" if touched else str(parent.config_resolved)

    if problems:
        raise ConfigError(problems)
    settled = settle(validate(data, registry, where))
    problems = [Problem(where(at), dotted(at), message) for at, message in settled.problems]
    problems += cross_checks(settled.config, where) if not problems else []
    if problems:
        raise ConfigError(problems)
    return settled.config


def _sources(parent: RunDirectory, info: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The files that the parent was configured with, as it keeps them."""
    copies = [copy.read_bytes() for copy in parent.config_sources()]
    return list(zip(info.get("config_sources", []), copies, strict=False))

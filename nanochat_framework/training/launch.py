"""Starting and resuming runs: everything between a validated configuration and the loop."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from nanochat_framework.config.load import LoadedConfig, components_lock, read_resolved
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import StoppedOnRequest, UsageError
from nanochat_framework.plugins.loader import PluginHost
from nanochat_framework.runs.directory import RunDirectory, default_runs_dir
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.training.checkpoint_store import CheckpointStore
from nanochat_framework.training.out_of_memory import explained, is_out_of_memory
from nanochat_framework.training.setup import Prepared, prepare, training_steps


def start(
    loaded: LoadedConfig,
    host: PluginHost,
    *,
    runs_dir: Path | None,
    name: str | None,
    epochs: int | None,
    quiet: bool,
) -> int:
    """Make a run directory and train; returns the exit code. Nothing is left behind if it is refused (data, device)."""
    config = training_steps(loaded.config, epochs)
    run = RunDirectory.create(
        runs_dir or default_runs_dir(),
        name,
        label=loaded.path.stem,
        source_toml=loaded.source_bytes,
        resolved=config.to_dict(),
        components_lock=components_lock(config),
        overrides=list(loaded.overrides),
        argv=sys.argv,
    )
    try:
        return _train(config, host, run, choose=lambda store: None, quiet=quiet)
    except UsageError:
        if not run.metrics.exists():  # refused before the first step: the name is free again
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def go_on(target: str, host: PluginHost, *, runs_dir: Path | None, checkpoint: str | None, quiet: bool) -> int:
    """Resume a run from its newest whole checkpoint, or the named one; returns the exit code."""
    run, named = _find(target, runs_dir or default_runs_dir())
    config = read_resolved(run.config_resolved, registry=host.registry)
    return _train(config, host, run, choose=lambda store: _choose(store, checkpoint or named), quiet=quiet)


def _choose(store: CheckpointStore, name: str | None) -> Path | None:
    """The checkpoint to go on from; None to begin again. Raises UsageError if the named one is not whole."""
    if name is None:
        newest = store.latest()
        if newest is None:
            print(f"{store.root.parent}: no whole checkpoint yet, starting from the beginning", file=sys.stderr)
        return newest
    folder = store.path(name)
    problems = store.verify(folder)
    if problems:
        raise UsageError(f"{folder}: cannot resume from it: {problems[0]}")
    return folder


def _find(target: str, runs_dir: Path) -> tuple[RunDirectory, str | None]:
    """A run by name or path, or the run that a checkpoint path belongs to with the checkpoint's name."""
    path = Path(target)
    try:
        if path.parent.name == "checkpoints" and path.is_dir():
            return RunDirectory.open(path.parent.parent), path.name
        if (path / "run.json").exists():
            return RunDirectory.open(path), None
    except OSError as error:
        raise UsageError(f"{target[:80]}: not a run ({error.strerror})") from None
    return RunDirectory.find(runs_dir, target), None


def _train(
    config: RunConfig,
    host: PluginHost,
    run: RunDirectory,
    *,
    choose: Callable[[CheckpointStore], Path | None],
    quiet: bool,
) -> int:
    """Run the loop under the run's lock, and turn its end into an exit code."""
    with run.lock():
        prepared: Prepared | None = None
        try:
            checkpoint = choose(CheckpointStore(run.checkpoints))
            prepared = prepare(
                config,
                host.registry,
                run,
                components=components_lock(config),
                checkpoint=checkpoint,
                quiet=quiet,
            )
            _introduce(prepared, quiet)
            prepared.trainer.run()
            return _conclude(prepared, quiet)
        except StoppedOnRequest:
            raise
        except Exception as error:
            failure = _explained(error, config, run, prepared)
            if prepared is not None:
                prepared.trainer.events.write("failed", step=prepared.trainer.step, error=str(failure))
            StatusFile(run.status).update(state="failed", error=(str(failure).splitlines() or [""])[0])
            raise failure from error


def _explained(error: Exception, config: RunConfig, run: RunDirectory, prepared: Prepared | None) -> Exception:
    """The error, or the line about memory where it means that memory is used up."""
    if not is_out_of_memory(error):
        return error
    latest = CheckpointStore(run.checkpoints).latest()
    device = config.hardware.device if prepared is None else prepared.trainer.module.device.type
    return explained(config, device, latest.name if latest else None)


def _introduce(prepared: Prepared, quiet: bool) -> None:
    """Say what is about to be trained, and where."""
    if quiet:
        return
    module, trainer = prepared.trainer.module, prepared.trainer
    parameters = sum(p.tensor.numel() for p in module.parameters)
    train = module.config.train
    tokens = trainer.loader.plan.rows_per_step * trainer.loader.plan.seq_len
    begin = f"from step {trainer.step} " if trainer.step else ""
    print(
        f"{prepared.run.path}: {parameters:,} parameters on {module.device}, {train.precision}; {begin}to step "
        f"{trainer.total_steps} of {tokens:,} tokens each",
        file=sys.stderr,
    )


def _conclude(prepared: Prepared, quiet: bool) -> int:
    """Say how it ended; the exit code. Raises StoppedOnRequest if the last step was not reached."""
    trainer, run = prepared.trainer, prepared.run
    trainer.events.write("finished" if trainer.finished else "stopped", step=trainer.step)
    if not trainer.finished:
        raise StoppedOnRequest(
            f"stopped by {trainer.stop_reason} after step {trainer.step}; `nanochat resume {run.path}` goes on from there"
        )
    if not quiet:
        print(f"finished: {run.path / 'checkpoints' / 'final'}", file=sys.stderr)
    return 0

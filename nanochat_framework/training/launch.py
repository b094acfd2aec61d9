"""Starting and resuming runs: everything between a validated configuration and the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import torch.distributed as dist

from nanochat_framework.config.load import LoadedConfig, components_lock, read_resolved
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import NanochatError, StoppedOnRequest, UsageError, first_line
from nanochat_framework.planning.inventory import describe
from nanochat_framework.planning.parameters import resting_parameters
from nanochat_framework.plugins.loader import PluginHost
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.runs.checkpoints import whole_checkpoint
from nanochat_framework.runs.directory import RunDirectory, default_runs_dir, find_to_resume
from nanochat_framework.runs.removal import kept_unless_refused
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.train_log import TrainLog
from nanochat_framework.training.new_run import new_run
from nanochat_framework.training.out_of_memory import explained, is_out_of_memory
from nanochat_framework.training.processes import run_processes
from nanochat_framework.training.setup import Prepared, prepare, training_steps
from nanochat_framework.training.trainer import CheckpointFailed
from nanochat_framework.training.training_data import introduction
from nanochat_framework.training.world import World, joined_world


def start(
    loaded: LoadedConfig,
    host: PluginHost,
    *,
    runs_dir: Path | None,
    name: str | None,
    epochs: int | None,
    quiet: bool,
    nproc: int = 1,
) -> int:
    """Make a run directory and train; returns the exit code. Nothing is left behind if it is refused (data, device)."""
    config = training_steps(loaded.config, epochs)

    def create() -> str:
        return str(new_run(loaded, config, runs_dir, name).path)

    if nproc > 1:
        run = RunDirectory(Path(create()))
        return kept_unless_refused(run, lambda: _train_together(run, nproc, [], quiet))
    with joined_world() as world:
        run = RunDirectory(Path(world.from_main(create)))

        def train() -> int:
            return _train(config, host, run, choose=lambda: None, world=world, quiet=quiet)

        return kept_unless_refused(run, train) if world.is_main else train()


def go_on(
    target: str, host: PluginHost, *, runs_dir: Path | None, checkpoint: str | None, quiet: bool, nproc: int = 1
) -> int:
    """Resume a run from its newest whole checkpoint, or the named one; returns the exit code."""
    run, named = find_to_resume(target, runs_dir or default_runs_dir())
    config = read_resolved(run.config_resolved, registry=host.registry)
    wanted = named if checkpoint is None else checkpoint
    if nproc > 1:
        options = []
        if wanted is not None:
            whole_checkpoint(run, wanted)  # a refusal by the processes would count as a failure of the training
            options = ["--from", wanted]
        return _train_together(run, nproc, options, quiet)
    with joined_world() as world:
        return _train(config, host, run, choose=lambda: _choose(run, wanted), world=world, quiet=quiet)


def _train_together(run: RunDirectory, nproc: int, options: list[str], quiet: bool) -> int:
    """Train in several processes of this machine; returns the exit code."""
    command = ["resume", str(run.path.resolve()), *options, *(["--quiet"] if quiet else [])]
    try:
        return run_processes(nproc, command)
    except NanochatError as error:
        status = StatusFile(run.status)
        status.update(state="failed", error=str(error))
        raise type(error)(f"{error}; `nanochat resume {run.path}` goes on from the newest checkpoint") from None


def _choose(run: RunDirectory, name: str | None) -> Path | None:
    """The checkpoint to go on from; None to begin again. Raises UsageError if the named one is not whole."""
    if name is not None:
        return whole_checkpoint(run, name)
    newest = CheckpointStore(run.checkpoints).latest()
    if newest is None and run.events.exists():  # not so at the first start in several processes
        print(f"{run.path}: no whole checkpoint yet, starting from the beginning", file=sys.stderr)
    return newest


def _train(
    config: RunConfig,
    host: PluginHost,
    run: RunDirectory,
    *,
    choose: Callable[[], Path | None],
    world: World,
    quiet: bool,
) -> int:
    """Run the loop under the run's lock, and turn its end into an exit code."""
    logs: list[TrainLog] = []  # process 0's
    with ExitStack() as held:

        def begin() -> str | None:
            held.enter_context(run.lock())
            chosen = choose()  # before anything is written: a run that is refused here stays as it is
            StatusFile(run.status).update(state="starting", error=None)
            logs.append(held.enter_context(closing(TrainLog(run.train_log))))
            return None if chosen is None else str(chosen)

        checkpoint = world.from_main(begin)
        quiet = quiet or not world.is_main
        prepared: Prepared | None = None
        try:
            prepared = prepare(
                config,
                host.registry,
                run,
                components=components_lock(config),
                checkpoint=None if checkpoint is None else Path(checkpoint),
                world=world,
                quiet=quiet,
                log=logs[0] if logs else None,
                hooks=host.manager,
            )
            held.push(prepared.close)
            _introduce(prepared)
            prepared.trainer.run()
            return _conclude(prepared)
        except StoppedOnRequest as stopped:
            for log in logs:
                log.line(str(stopped))
            raise
        except Exception as error:
            failure = _explained(error, config, run, prepared, world)
            _record(failure, run, prepared, world, logs)
            raise failure from error


def _record(
    failure: Exception, run: RunDirectory, prepared: Prepared | None, world: World, logs: list[TrainLog]
) -> None:
    """Write down that the training failed. Raises SystemExit where process 0 has met it too, and says so."""
    refused = isinstance(failure, UsageError) and prepared is None
    if not world.is_main and (refused or isinstance(failure, CheckpointFailed)):
        raise SystemExit(UsageError.exit_code if refused else 1) from None
    for log in logs:
        log.line(f"error: {failure}")
    if prepared is not None:
        prepared.trainer.events.write("failed", step=prepared.trainer.step, error=str(failure))
    if world.is_main:
        StatusFile(run.status).update(state="failed", error=first_line(failure))


def _explained(
    error: Exception, config: RunConfig, run: RunDirectory, prepared: Prepared | None, world: World
) -> Exception:
    """The error, or a line where it means that memory is used up or that another process of the run is gone."""
    if not is_out_of_memory(error):
        gone = (
            world.size > 1 and isinstance(error, dist.DistError | RuntimeError) and not isinstance(error, NanochatError)
        )
        return NanochatError(f"process {world.rank}: another process of this run is gone") if gone else error
    latest = CheckpointStore(run.checkpoints).latest()
    device = config.hardware.device if prepared is None else prepared.trainer.module.device.type
    return explained(config, device, latest.name if latest else None)


def _introduce(prepared: Prepared) -> None:
    """Say what is about to be trained, and where."""
    module, trainer, world = prepared.trainer.module, prepared.trainer, prepared.trainer.world
    parameters = sum(p.tensor.numel() for p in module.parameters)
    resting = resting_parameters(describe(module.config))
    active = f" ({parameters - resting:,} active for a token)" if resting else ""
    train = module.config.train
    plan = trainer.loader.plan
    tokens = plan.phase(trainer.step).tokens_per_step
    where = f"{world.size} processes on {module.device.type}" if world.size > 1 else str(module.device)
    begin = f"from step {trainer.step} " if trainer.step else ""
    end = f"to step {train.steps}" if train.max_hours is None else f"for {train.max_hours:g} hours, steps"
    prepared.say(
        f"{prepared.run.path}: {parameters:,} parameters{active} on {where}, {train.precision}; {begin}{end} of "
        f"{tokens:,} tokens each"
    )
    shares = [] if train.steps is None else introduction(plan, train.steps)
    for line in [*shares, *(f"warning: {warning}" for warning in plan.warnings)]:
        prepared.say(line)


def _conclude(prepared: Prepared) -> int:
    """Say how it ended; the exit code. Raises StoppedOnRequest if the last step was not reached."""
    trainer, run = prepared.trainer, prepared.run
    if trainer.finished:
        trainer.events.write("finished", step=trainer.step)
    else:
        trainer.events.write("stopped", step=trainer.step, reason=trainer.stop_reason)
        if not trainer.world.is_main:
            raise SystemExit(StoppedOnRequest.exit_code)
        raise StoppedOnRequest(
            f"stopped by {trainer.stop_reason} after step {trainer.step}; `nanochat resume {run.path}` goes on from there"
        )
    prepared.say(f"finished: {run.path / 'checkpoints' / 'final'}")
    return 0

"""From a configuration (and, on resume, a checkpoint) to a trainer that is ready to run."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pluggy
import torch

from nanochat_framework.config.run_config import MonitorSection, RunConfig
from nanochat_framework.contracts.callback import Callback
from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.data.loader import PrefetchLoader
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.kernels.table import KernelTable, activate
from nanochat_framework.machine.cpu import usable_cores
from nanochat_framework.plugins.api import RunFacts
from nanochat_framework.plugins.faults import fault
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.runs.checkpoint_store import CheckpointStore, step_name
from nanochat_framework.runs.control import ControlInbox, answered
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.events import EventLog, begin_attempt
from nanochat_framework.runs.events import Kind as EventKind
from nanochat_framework.runs.jsonlines import read
from nanochat_framework.runs.metrics import MetricsLog
from nanochat_framework.runs.outage import Outage
from nanochat_framework.runs.silent import SilentEvents, SilentMetrics
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.runs.tracking import FLUSH_SECONDS, HURRIED_SECONDS, Trackers
from nanochat_framework.runs.train_log import TrainLog
from nanochat_framework.training.builtin_callbacks import (
    EvaluationCallback,
    MetricsCallback,
    SkippedStepsCallback,
)
from nanochat_framework.training.checkpoint import (
    CheckpointMeta,
    read_meta,
    restore_checkpoint,
    write_checkpoint,
)
from nanochat_framework.training.control import ControlCallback
from nanochat_framework.training.initial_weights import take_weights
from nanochat_framework.training.monitor import MonitorCallback
from nanochat_framework.training.narration import Narration
from nanochat_framework.training.plugin_events import PluginEventsCallback
from nanochat_framework.training.run_callbacks import (
    CheckpointCallback,
    SignalCallback,
    StatusCallback,
    TrackerCallback,
)
from nanochat_framework.training.samples import SampleCallback
from nanochat_framework.training.time_limit import TimeLimitCallback, fixed_before
from nanochat_framework.training.train_module import TrainModule
from nanochat_framework.training.trainer import Trainer
from nanochat_framework.training.training_data import TrainingData
from nanochat_framework.training.utilisation import Utilisation
from nanochat_framework.training.world import World

_ERRORS: dict[str, EventKind] = {
    "callback": "callback_error",
    "plugin": "plugin_error",
    "tracker": "tracker_error",
}


@dataclass(frozen=True)
class Prepared:
    """A trainer with the directory it writes to, the store of its checkpoints, and how it reports."""

    trainer: Trainer
    run: RunDirectory
    store: CheckpointStore
    reporting: Reporting

    def close(self, error: type[BaseException] | None, *_: object) -> None:
        """After the last event: let the trackers write what waits, and close the run's files.

        Who interrupts a run twice does not want to wait for trackers.
        """
        if self.reporting.trackers is not None:
            hurried = error is not None and issubclass(error, KeyboardInterrupt)
            self.reporting.trackers.close(HURRIED_SECONDS if hurried else FLUSH_SECONDS)
        self.reporting.events.close()
        self.reporting.metrics.close()

    def say(self, text: str) -> None:
        """Tell the person at the terminal, unless the run is quiet, and train.log."""
        self.reporting.narration.say(text)


def choose_device(name: str) -> torch.device:
    """The device of a configuration. Raises UsageError if this machine does not have it."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available[name]:
        raise UsageError(f"hardware.device: this machine (or this torch, {torch.__version__}) has no {name}; use 'cpu'")
    return torch.device(name)


def configure_process(config: RunConfig, registry: Registry) -> torch.device:
    """Set threads and kernels of this process as the configuration says; returns the device."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(config.hardware.threads or max(1, usable_cores() // here))
    activate(KernelTable(registry))
    return choose_device(config.hardware.device)


def training_steps(config: RunConfig, epochs: int | None) -> RunConfig:
    """The configuration with `train.steps` set to that many passes over the training tokens; unchanged for None."""
    if epochs is None:
        return config
    steps = TrainingData(config).steps_of(epochs)
    return config.model_copy(update={"train": config.train.model_copy(update={"steps": steps, "max_hours": None})})


def prepare(
    config: RunConfig,
    registry: Registry,
    run: RunDirectory,
    *,
    components: list[dict[str, Any]],
    checkpoint: Path | None,
    world: World,
    quiet: bool,
    log: TrainLog | None = None,
    hooks: pluggy.PluginManager | None = None,
) -> Prepared:
    """Open the data, build the model, take the checkpoint back, and put the loop together.

    `hooks` has the plugins that are told of the training's events.

    Raises UsageError for data, vocabulary or checkpoint that do not fit the configuration.
    """
    inbox = ControlInbox(run.control, answered(read(run.events))) if world.is_main else None
    device = configure_process(config, registry)
    data = TrainingData(config)
    plan = data.plan(world.size)
    module = TrainModule(config, device, world)
    module.prepare_objectives(registry, data.tokenizer)
    meta, origin = _take_up(config, registry, module, data, checkpoint)
    store, step = CheckpointStore(run.checkpoints), int(meta["step"]) if meta else 0
    narration = Narration(module.settings, quiet=quiet, log=log)
    outage = Outage(run.path, narration.warn)
    samples = _samples(config, run, module, data, outage)
    reporting = _reporting(config, run, store, world, step, narration, outage)
    trainer = Trainer(
        module,
        PrefetchLoader(plan, start_step=step, rank=world.rank),
        held_out=data.held_out(),
        metrics=reporting.metrics,
        events=reporting.events,
        save=_Saving(config, components, origin, module, data.tokenizer_path, store, reporting),
        callbacks=[
            *_own_callbacks(config, run, inbox, module, store, samples, reporting),
            *(selected.build() for selected in config.callback),
            *_plugin_events(hooks, config, run, reporting),
        ],
        report=reporting.failure,
        step=step,
        tokens=int(meta["tokens"]) if meta else 0,
    )
    if meta:
        trainer.callbacks.load_state(meta["callbacks"])
    return Prepared(trainer, run, store, reporting)


@dataclass(frozen=True)
class _Saving:
    """Writes the checkpoint of a step: called in all processes, process 0 writes."""

    config: RunConfig
    components: list[dict[str, Any]]
    origin: dict[str, str]
    module: TrainModule
    tokenizer: Path | None
    store: CheckpointStore
    reporting: Reporting

    def __call__(self, trainer: Trainer) -> None:
        events, metrics, name = self.reporting.events, self.reporting.metrics, step_name(trainer.step)
        state = trainer.state(), self.module.state()
        meta = CheckpointMeta(self.config.to_dict(), self.components, *state, events.attempt, self.origin)
        if not self.module.world.is_main:
            return
        metrics.sync()  # what a checkpoint stands on must be on the disk before it
        events.sync()
        self.store.write(name, lambda folder: write_checkpoint(folder, self.module, meta, self.tokenizer))
        events.write("checkpoint", step=trainer.step, name=name)


def _take_up(
    config: RunConfig, registry: Registry, module: TrainModule, data: TrainingData, checkpoint: Path | None
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Load what the module goes on from; a checkpoint's meta.json, if it is one, and where imported weights came from."""
    if checkpoint is not None:
        meta = read_meta(checkpoint)
        restore_checkpoint(checkpoint, module, meta)
        return meta, meta.get("imported", {})
    if config.train.init_from is None:
        return None, {}
    return None, take_weights(module, config.train.init_from, registry, data.tokenizer_path)


def _own_callbacks(
    config: RunConfig,
    run: RunDirectory,
    inbox: ControlInbox | None,
    module: TrainModule,
    store: CheckpointStore,
    samples: SampleCallback | None,
    reporting: Reporting,
) -> list[Callback]:
    """What every run has; `CallbackList` puts them in the order of their priorities."""
    settings, world, narration = module.settings, module.world, reporting.narration
    signals, evaluation = SignalCallback(), EvaluationCallback(settings)
    logged = MetricsCallback(settings, Utilisation.of(config, module.device, world.size) if world.is_main else None)
    checkpoints = CheckpointCallback(
        store, settings, keep_last=config.checkpoint.keep_last, evaluation=evaluation, warn=narration.warn
    )
    control = ControlCallback(
        run,
        inbox,
        settings,
        signals=signals,
        evaluation=evaluation,
        checkpoints=checkpoints,
        samples=samples,
        status=reporting.status,
        say=narration.say,
    )
    skipped = SkippedStepsCallback(config.train.max_skipped_steps)
    each = [signals, logged, skipped, evaluation, samples, checkpoints, control]
    return [
        *(callback for callback in each if callback is not None),
        *_time_limit(config, run),
        *reporting.callbacks,
        *reporting.monitor(config.monitor, run, logged),
    ]


@dataclass(frozen=True)
class Reporting:
    """How an attempt tells how it goes; only process 0's writes anything, and only it has a status."""

    events: EventLog
    metrics: MetricsLog
    narration: Narration
    status: StatusFile | None = None
    trackers: Trackers | None = None

    @property
    def callbacks(self) -> list[Callback]:
        """Those that report."""
        status = None if self.status is None else StatusCallback(self.status)
        trackers = None if self.trackers is None else TrackerCallback(self.trackers)
        return [callback for callback in (status, *self.narration.progress, trackers) if callback is not None]

    def monitor(self, section: MonitorSection, run: RunDirectory, metrics: MetricsCallback) -> list[Callback]:
        """What watches the run, in process 0; alerts are told even where the run is quiet."""
        if self.status is None:
            return []
        return [MonitorCallback(section, run, metrics=metrics, status=self.status, say=self.narration.warn)]

    def failure(self, kind: str, name: str, where: str, error: BaseException, *, switched_off: bool) -> None:
        """Say that a callback or a plugin's hook raised, here and in events.jsonl; the training goes on."""
        if self.status is not None:
            _tell_failure(self.events, self.narration, kind, name, error, where=where, switched_off=switched_off)


def _tell_failure(
    events: EventLog,
    narration: Narration,
    kind: str,
    name: str,
    error: BaseException,
    *,
    where: str | None = None,
    switched_off: bool,
) -> None:
    """Say that a callback, a plugin's hook or a tracker raised, here and as an event; the training goes on."""
    what, place = fault(error), "" if where is None else f"{where}: "
    narration.warn(f"{kind} {name}: {place}{what}{'; it is switched off' if switched_off else ''}")
    hook = {} if where is None else {"hook": where}
    with contextlib.suppress(OSError, NanochatError):  # a full disk may be what it failed for
        events.write(_ERRORS[kind], **{kind: name}, **hook, error=what, switched_off=switched_off)


def _reporting(
    config: RunConfig,
    run: RunDirectory,
    store: CheckpointStore,
    world: World,
    step: int,
    narration: Narration,
    outage: Outage,
) -> Reporting:
    """Begin an attempt."""
    if not world.is_main:
        attempt = int(world.from_main(int))
        return Reporting(SilentEvents(attempt), SilentMetrics(attempt), narration)

    def begin() -> int:
        built.extend((selected.name, selected.build()) for selected in config.tracker)
        store.rewind(step)
        opened.append(begin_attempt(run.events, step, outage))
        return opened[0].attempt

    built: list[tuple[str, Tracker]] = []
    opened: list[EventLog] = []
    attempt = int(world.from_main(begin))
    status = StatusFile(run.status, outage)
    latest = status.status.metrics if status.status.step == step else {}  # of steps beyond it they are no more
    known = {"attempt": attempt, "step": step, "total_steps": config.train.steps or 0, "metrics": latest}
    status.update(state="starting", error=None, **known)
    if narration.log is not None:
        narration.log.begin(attempt)
    events, metrics = opened[0], MetricsLog(run.metrics, attempt, outage)
    if not built:
        return Reporting(events, metrics, narration, status)
    tracked = TrackedRun(run.info()["id"], run.name, run.path.absolute(), attempt, step)
    trackers = Trackers(built, tracked, config.to_dict(), partial(_tell_failure, events, narration, "tracker"))
    events.listener, metrics.listener = trackers.event, trackers.metrics
    return Reporting(events, metrics, narration, status, trackers)


def _samples(
    config: RunConfig, run: RunDirectory, module: TrainModule, data: TrainingData, outage: Outage
) -> SampleCallback | None:
    """Raises UsageError where `[sample]` asks for texts of data that is none."""
    if not config.sample.prompts:
        return None
    if data.tokenizer is None:
        raise UsageError("sample.prompts: the data has no tokenizer (it is no text), so the model cannot write any")
    return SampleCallback(config.sample, run, module.model, data.tokenizer, outage)


def _time_limit(config: RunConfig, run: RunDirectory) -> list[Callback]:
    hours = config.train.max_hours
    return [] if hours is None else [TimeLimitCallback(hours, fixed_before(read(run.events)))]


def _plugin_events(
    hooks: pluggy.PluginManager | None, config: RunConfig, run: RunDirectory, reporting: Reporting
) -> list[Callback]:
    """What tells plugins of the training, in process 0."""
    if hooks is None or reporting.status is None:
        return []
    facts = RunFacts(run.path.absolute(), run.name, reporting.events.attempt, config.to_dict())
    return [PluginEventsCallback(hooks, facts, reporting.failure)]

"""Watches a run from a thread beside the loop: readings of the machine, and alerts, a stuck loop included; see `[monitor]`.

The thread takes readings; the loop logs them with the metrics of a step that it logs anyhow, so that no step has readings alone
and files have one writer.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanochat_framework.config.run_config import MonitorSection
from nanochat_framework.contracts.callback import Callback
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.status import StatusFile
from nanochat_framework.training.alerts import AlertDesk, LossWatch, StallWatch
from nanochat_framework.training.builtin_callbacks import MetricsCallback
from nanochat_framework.training.gpus import Gpus
from nanochat_framework.training.machine_readings import MachineReader
from nanochat_framework.training.trainer import StepResult, Trainer

_MEANS = ("cpu_cores", "share", "watts")
_LEAST = ("available_bytes", "free_bytes")
_GB = 1e9


class MonitorCallback(Callback):
    """Starts and ends the thread, hands it signs of life, and logs its readings beside the training metrics."""

    priority = 12  # after the metrics, whose records it joins; before skipped steps may end the run

    def __init__(
        self,
        section: MonitorSection,
        run: RunDirectory,
        *,
        metrics: MetricsCallback,
        status: StatusFile,
        say: Callable[[str], None],
    ) -> None:
        self.section, self.run, self.metrics, self.status, self._say = section, run, metrics, status, say
        self._loss = LossWatch(section.loss_rise)
        self._stall = StallWatch(section.stall_factor, section.stall_seconds)
        self._energy_before = 0.0
        self._readings: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._silent_since: float | None = None
        self._checkpoint_bytes = 0
        self._step = 0

    def on_start(self, trainer: Trainer) -> None:
        """Begin to watch."""
        self._desk = AlertDesk(trainer.events, self._say, 60 * self.section.repeat_minutes)
        self._stall.begin(time.monotonic())
        self._step = trainer.step
        if self.section.every_seconds:
            on_gpu = trainer.module.device.type == "cuda"
            self._machine = MachineReader(self.run.path, Gpus.open() if on_gpu else None)
            self._machine.energy_joules = self._energy_before
            self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
            self._thread.start()

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """A sign of life; judge the step, and log what was read since the last record."""
        self._sign(step=True)
        self._step = result.step
        self._judge(result)
        if self._thread is not None and self.metrics.logged_at == result.step:
            if trainer.finished:
                self._read()
            readings = self._taken()
            if readings:
                trainer.log(readings)

    def after_evaluation(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """A sign of life."""
        self._sign()

    def after_samples(self, trainer: Trainer, samples: list[dict[str, Any]]) -> None:
        """A sign of life."""
        self._sign()

    def after_checkpoint(self, trainer: Trainer, name: str) -> None:
        """A sign of life; the next checkpoint will be as large."""
        self._checkpoint_bytes = _bytes_below(self.run.checkpoints / name)
        self._sign()

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """End the thread; it may be waiting for a disk, and is not waited for long."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def state(self) -> dict[str, Any]:
        """Energy used so far, in joules."""
        return {"energy_joules": self._machine.energy_joules if self._thread is not None else self._energy_before}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._energy_before = float(state["energy_joules"])

    def _sign(self, *, step: bool = False) -> None:
        silent_since, self._silent_since = self._silent_since, None
        self._stall.sign(time.monotonic(), step=step)
        if silent_since is not None:
            self._say(f"going on after {time.monotonic() - silent_since:.0f} s of silence")

    def _judge(self, result: StepResult) -> None:
        if result.skipped:
            why = "the loss or gradient was not finite" if result.skipped == "not_finite" else "a spike of the loss"
            message = f"step {result.step} changed no weight: {why} ({self.metrics.skipped_steps} such steps so far)"
            self._desk.alert("skipped", message, step=result.step, skipped_steps=self.metrics.skipped_steps)
            return
        rise = self._loss.rise(result.losses["loss"])
        if rise is not None:
            message = f"the loss has risen to {rise[0]:.2f}, from {rise[1]:.2f} not long ago (step {result.step})"
            self._desk.alert("divergence", message, step=result.step, loss=rise[0], lowest_loss=rise[1])

    def _watch(self) -> None:
        """The thread: readings, and the alerts that do not wait for a step."""
        while not self._ended.wait(self.section.every_seconds):
            with contextlib.suppress(OSError):
                self._look()

    def _look(self) -> None:
        readings = self._read()
        if self.status.status.state == "paused":
            self._stall.begin(time.monotonic())
            return
        now = time.monotonic()
        silent = self._stall.silence(now)
        if silent is not None:
            self._silent_since = self._silent_since or now - silent
            cores = readings["system/cpu_cores"]
            message = (
                f"nothing has happened for {silent:.0f} s after step {self._step}, where {self._stall.allowed():.0f} s are "
                f"usual at most; the process keeps {cores:.1f} cores busy"
            )
            self._desk.alert("stall", message, step=self._step, silent_seconds=silent, **readings)
        free = readings.get("system/disk_free_bytes")
        needed = max(self.section.disk_free_gb * _GB, 2 * self._checkpoint_bytes) if self.section.disk_free_gb else 0
        if free is not None and free < needed:
            message = f"{self.run.path}: the disk has {free / _GB:.2f} GB left, less than {needed / _GB:.2f} GB"
            self._desk.alert("disk", message, step=self._step, free_bytes=free, needed_bytes=needed)

    def _read(self) -> dict[str, float]:
        with self._lock:
            readings = self._machine.read()
            for name, value in readings.items():
                self._readings.setdefault(name, []).append(value)
        return readings

    def _taken(self) -> dict[str, float]:
        """What was read since this was last called, one value for each name."""
        with self._lock:
            readings, self._readings = self._readings, {}
        return {name: _summary(name, values) for name, values in readings.items()}


def _summary(name: str, values: list[float]) -> float:
    """Of several readings: the mean of a rate, the least of what is left, the last of a counter, the most of all else."""
    kind = name.partition(".")[0]
    if kind.endswith(_MEANS):
        return statistics.fmean(values)
    if kind.endswith(_LEAST):
        return min(values)
    return max(values)


def _bytes_below(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return 0

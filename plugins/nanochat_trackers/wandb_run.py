"""A run of Weights & Biases. It stays on this machine unless `mode = "online"`; `wandb sync` sends it later.

W&B numbers its rows upward for ever and drops a row with a number that it has passed, so rows are numbered by their
place among all records of all attempts, and `step` is the axis that charts use. What a resume rewound stays as rows of
the earlier `attempt`, below those that took its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from nanochat_framework.contracts.tracker import TrackedRun, Tracker
from nanochat_framework.errors import UsageError
from nanochat_framework.runs.jsonlines import read
from nanochat_trackers.config import WandbConfig


class WandbTracker(Tracker):
    """One W&B run for all attempts: its id is the run's."""

    def __init__(self, config: WandbConfig) -> None:
        self.config = config
        self._run: Any = None
        self._row = 0
        self._exit_code = 0

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        """Begin, or go on after the rows of earlier attempts."""
        import wandb

        records = read(run.folder / "metrics.jsonl")
        self._row = sum(record.get("attempt", run.attempt) < run.attempt for record in records)
        self._run = wandb.init(
            id=run.id,
            name=run.name,
            project=self.config.project,
            entity=self.config.entity,
            mode=self.config.mode,
            resume="allow" if self.config.mode == "online" else None,
            tags=self.config.tags,
            dir=run.folder,
            config=dict(config),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        """A row."""
        self._row += 1
        self._run.log({key: value for key, value in record.items() if key != "time"}, step=self._row)

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """A table, beside the step's last row."""
        import wandb

        rows = [[step, sample["prompt"], sample["text"]] for sample in samples]
        table = wandb.Table(columns=["step", "prompt", "text"], data=rows)
        self._run.log({"samples": table, "step": step}, step=self._row)

    def event(self, event: Mapping[str, Any]) -> None:
        """Pass alerts on, and remember a failure."""
        if event["kind"] == "alert":
            self._run.alert(title=str(event.get("alert")), text=str(event.get("message")))
        self._exit_code = int(event["kind"] == "failed") or self._exit_code

    def close(self) -> None:
        """Write everything; W&B shows a run that failed as failed."""
        if self._run is not None:
            run, self._run = self._run, None
            run.finish(exit_code=self._exit_code)


def build_wandb(config: WandbConfig) -> WandbTracker:
    """A W&B run. Raises UsageError where the package is not installed."""
    if find_spec("wandb") is None:
        raise UsageError("tracker wandb needs the extra `wandb`: pip install 'nanochat-framework[wandb]'")
    return WandbTracker(config)

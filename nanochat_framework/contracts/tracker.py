"""Contract of a tracker: where a run's metrics, samples and events go besides the run's folder. Torch-free.

::

    class Losses(Tracker):
        def __init__(self, config: NoSettings) -> None:
            self.file = None

        def open(self, run, config):
            self.file = (run.folder / "losses.txt").open("a")

        def metrics(self, step, record):
            if "train/loss" in record:
                print(step, record["train/loss"], file=self.file)

        def close(self):
            if self.file is not None:
                self.file.close()
                self.file = None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrackedRun:
    """Which run is tracked. `id` is the same in every attempt of a run; `attempt` counts them from 1.

    `rewound_to` is the step that this attempt goes on from (0: from scratch). What earlier attempts recorded beyond it
    did not happen: a tracker takes it back, or marks it. `folder` is the run's own, with all of its records so far.
    """

    id: str
    name: str
    folder: Path
    attempt: int
    rewound_to: int


class Tracker:
    """Takes what a run records. Factory: `build(config)`; it raises UsageError where a package is missing.

    A tracker works in a thread of its own, one call at a time, and may be slow. `open` comes first and is tried again
    if it raises; after that the calls come in the order of the records. Records may be missing where the tracker was
    slower than the training. What a method raises is reported; after three errors the tracker is switched off.
    """

    def open(self, run: TrackedRun, config: Mapping[str, Any]) -> None:
        """Begin, or go on after a resume; `config` is the resolved configuration as plain data."""

    def metrics(self, step: int, record: Mapping[str, Any]) -> None:
        """A record as metrics.jsonl has it: `attempt`, `step`, `time`, `tokens`, and metrics by name (floats).

        A step may have several records, whose metrics differ.
        """

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Texts that the model wrote: `prompt_index`, `prompt`, `text`, `finish_reason` of each."""

    def event(self, event: Mapping[str, Any]) -> None:
        """An event as events.jsonl has it: `time`, `attempt`, `kind` and more."""

    def close(self) -> None:
        """Write what is left and let go. May be called twice, and without `open` having succeeded."""

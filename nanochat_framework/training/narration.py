"""Who hears what a training says: the person at the terminal, unless the run is quiet, and train.log."""

from __future__ import annotations

import sys

from nanochat_framework.runs.train_log import TrainLog
from nanochat_framework.training.live_settings import LiveSettings
from nanochat_framework.training.run_callbacks import ProgressCallback


class Narration:
    """`progress` are the callbacks that draw lines of progress, one for each who hears them."""

    def __init__(self, settings: LiveSettings, *, quiet: bool, log: TrainLog | None) -> None:
        """`log` is process 0's; it is left out where stderr goes into it anyhow."""
        self.log = log
        self.progress = [] if quiet else [ProgressCallback(settings)]
        if log is not None and not log.twin_of_stderr:
            self.progress.append(ProgressCallback(settings, log))
        self._quiet = quiet

    def say(self, text: str) -> None:
        """A line of its own."""
        for each in self.progress:
            each.say(text)

    def warn(self, text: str) -> None:
        """A line that the person sees even where the run is quiet."""
        self.say(text)
        if self._quiet:
            print(text, file=sys.stderr)

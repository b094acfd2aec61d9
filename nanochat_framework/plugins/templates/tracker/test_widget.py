"""acme/widget through two attempts of a run."""

from __future__ import annotations

import csv
from pathlib import Path

from nanochat_framework.contracts.tracker import TrackedRun
from nanochat_framework.plugins import load_plugins


def test_what_did_not_happen_is_dropped(tmp_path: Path) -> None:
    """Python's csv reads the file; the steps after the one that a resume goes on from are there once."""
    component = load_plugins().registry.get("tracker", "acme/widget")
    for attempt, first in ((1, 0), (2, 2)):
        tracker = component.load_factory()(component.config_class()())
        tracker.open(TrackedRun("id", "run", tmp_path, attempt, rewound_to=first), {})
        for step in range(first + 1, first + 5):
            tracker.metrics(step, {"step": step, "time": 0.5, "train/loss": attempt + step / 8})
        tracker.close()
        tracker.close()
    with (tmp_path / "metrics.tsv").open(newline="") as file:
        rows = [(int(step), name, float(value)) for step, name, value in csv.reader(file, delimiter="\t")]
    assert rows == [(s, "train/loss", (1 if s <= 2 else 2) + s / 8) for s in range(1, 7)]

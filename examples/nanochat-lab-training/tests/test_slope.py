"""lab/slope on records of steps, and as the dashboard calls it."""

from __future__ import annotations

import json
from pathlib import Path

from nanochat_framework.testing import check_panels
from nanochat_lab_training.slope import slope_lines


def test_means_beside_those_before(tmp_path: Path) -> None:
    """Twenty losses from 20 down to 1: the last ten have the mean 5.5, ten less than those before."""
    assert slope_lines(tmp_path) == ["0 losses so far; 20 are needed"]
    records = [{"step": step, "train/loss": float(21 - step)} for step in range(1, 21)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert slope_lines(tmp_path) == ["last    10   5.5000   falls by 10.0000"]


def test_contract() -> None:
    """All laws of panels."""
    check_panels("nanochat-lab-training")

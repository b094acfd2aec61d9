"""What several tests of runs need."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanochat_framework.runs.checkpoint_store import CheckpointStore


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")

"""The plan against the peak of real training steps: the committed measurements, and fresh ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nanochat_framework.config.load import load_config
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning import device
from nanochat_framework.planning.measurement import measure
from nanochat_framework.planning.memory import plan_memory
from nanochat_framework.plugins import Registry

MEASURED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "fixtures" / "memory.json").read_text())["cases"]
NAMES = [case["name"] for case in MEASURED]


def _config(case: dict[str, Any], registry: Registry) -> RunConfig:
    return load_config(case["preset"], registry=registry, overrides=case["overrides"]).config


@pytest.mark.parametrize("case", MEASURED, ids=NAMES)
def test_plan_is_within_a_tenth_of_what_was_measured(
    case: dict[str, Any], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "leaves_holes", lambda: True)  # as on the machine that was measured
    config = _config(case, registry)
    row = plan_memory(config).row(config.train.batch_size)
    assert row.training / case["measured_bytes"] == pytest.approx(1, abs=0.1)
    assert (row.training - row.allocator) / case["exact_bytes"] == pytest.approx(1, abs=0.1)


def test_measurements_cover_what_a_plan_depends_on(registry: Registry) -> None:
    configs = [_config(case, registry) for case in MEASURED]
    assert {case["preset"] for case in MEASURED} == {"tiny-cpu", "d20", "ittybitty-38m", "nano-125m-mhc"}
    assert {config.train.precision for config in configs} == {"fp32", "bf16"}
    assert {config.train.activation_checkpointing for config in configs} == {"none", "block", "selective"}
    assert {bool(config.quantizer) for config in configs} == {True, False}
    assert {config.model.config.tie_embeddings for config in configs} == {True, False}
    assert len({config.model.config.vocab_size for config in configs}) >= 4
    assert len({config.train.gradient_accumulation for config in configs}) >= 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a process's own peak")
@pytest.mark.parametrize("case", MEASURED, ids=NAMES)
def test_plan_is_within_a_tenth_of_training_here(case: dict[str, Any], registry: Registry) -> None:
    config = _config(case, registry)
    row = plan_memory(config).row(config.train.batch_size)
    above = 0.1 if device.leaves_holes() else 0.25  # allocators other than the measured one are known only roughly
    assert row.training / measure(config, 0).training_bytes == pytest.approx(1, abs=above)


TRAIN = """
import sys
from nanochat_framework.cli import main
from nanochat_framework.training.process_memory import peak_bytes
code = main(sys.argv[1:])
print("peak", peak_bytes(), file=sys.stderr)
sys.exit(code)
"""
EVERYTHING = ("train.steps=4", "schedule.warmup_steps=0", "eval.every=2", "eval.batches=2", "checkpoint.every=2")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a process's own peak")
@pytest.mark.parametrize(("preset", "batch_size"), [("tiny-cpu", 2), ("tiny-cpu", 16), ("d20", 2)])
def test_total_is_a_whole_runs_peak(tmp_path: Path, registry: Registry, preset: str, batch_size: int) -> None:
    """The command as a person runs it: data, evaluations and checkpoints included."""
    overrides = [*EVERYTHING, 'data.source={name="synthetic",n_samples=3000}', 'hardware.device="cpu"']
    overrides += ["hardware.threads=1", f"train.batch_size={batch_size}"]
    command = [sys.executable, "-c", TRAIN, "train", preset, "--runs-dir", str(tmp_path), "--run", "r", "--quiet"]
    for override in overrides:
        command += ["--set", override]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = int(done.stderr.rpartition("peak ")[2])
    planned = plan_memory(load_config(preset, registry=registry, overrides=overrides).config).row(batch_size).total
    assert planned / peak == pytest.approx(1, abs=0.1 if device.leaves_holes() else 0.25)

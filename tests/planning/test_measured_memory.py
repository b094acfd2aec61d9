"""The plan against the largest resident set of a training process, everything included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nanochat_framework.config.load import load_config
from nanochat_framework.planning.memory import plan_memory
from nanochat_framework.plugins import Registry

STATUS = Path("/proc/self/status")
TRAIN = f"""
import sys
from nanochat_framework.cli import main
code = main(sys.argv[1:])
status = open({str(STATUS)!r}).read()
print("peak", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)  # in KiB
sys.exit(code)
"""
RUN = (
    'data.source={name="synthetic"}',
    'hardware.device="cpu"',
    "hardware.threads=1",
    "train.steps=3",
    "schedule.warmup_steps=0",
    "eval.every=0",
)


def _peak(folder: Path, preset: str, overrides: list[str]) -> int:
    """Bytes."""
    command = [sys.executable, "-c", TRAIN, "train", preset, "--runs-dir", str(folder), "--run", "measured", "--quiet"]
    for override in overrides:
        command += ["--set", override]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = next(line for line in done.stderr.splitlines() if line.startswith("peak "))
    return 1024 * int(peak.split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="the kernel's own peak figure is in /proc, which this system lacks")
@pytest.mark.parametrize(
    ("preset", "batch_size", "precision"),
    [("tiny-cpu", 2, "fp32"), ("tiny-cpu", 16, "fp32"), ("tiny-cpu", 8, "bf16"), ("d20", 2, "fp32")],
)
def test_plan_is_within_a_quarter_of_the_process(
    tmp_path: Path, registry: Registry, preset: str, batch_size: int, precision: str
) -> None:
    overrides = [*RUN, f"train.batch_size={batch_size}", f'train.precision="{precision}"']
    planned = plan_memory(load_config(preset, registry=registry, overrides=overrides).config).row(batch_size).total
    assert planned / _peak(tmp_path, preset, overrides) == pytest.approx(1, abs=0.25)

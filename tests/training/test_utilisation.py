"""`train/mfu`: operations that torch counts, over a peak that is stated or known; nothing where it is neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nanochat_framework.cli import main
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.build import build_model
from nanochat_framework.planning.peaks import peak_flops
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.metrics import read_metrics
from tests.conftest import tiny_dict

PEAK_TFLOPS = 0.002


def records(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    data = tiny_dict(quantizer=[], eval={"every": 0}, train__steps=3, **changes)
    (folder / "tiny.toml").write_text(tomli_w.dumps(data))
    command = ["train", str(folder / "tiny.toml"), "--run", "run", "--runs-dir", str(folder), "--quiet"]
    assert main(command) == 0
    return read_metrics(folder / "run" / "metrics.jsonl")


def test_it_is_what_torch_counts_over_what_is_stated(tmp_path: Path, registry: Registry) -> None:
    found = records(tmp_path, hardware={"device": "cpu", "peak_tflops": PEAK_TFLOPS})
    config = RunConfig.model_validate(tiny_dict(quantizer=[]), context={"registry": registry})
    seq_len = config.data.seq_len
    model = build_model(config.model, seed=0)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the one it counts
        model(torch.zeros(1, seq_len, dtype=torch.long))
    square = 4 * config.model.config.n_layers * 4 * 16 * seq_len  # (layers, heads, head_dim): torch counts all of it
    counted = counter.get_total_flops() / seq_len
    causal = counted - square + square * (seq_len + 1) / (2 * seq_len)
    assert len(found) == 3
    for record in found:
        expected = 3 * causal * record["train/tokens_per_second"] / (1e12 * PEAK_TFLOPS)
        assert record["train/mfu"] == pytest.approx(expected, rel=0.02)


def test_a_cpu_whose_peak_nobody_states_has_none(tmp_path: Path) -> None:
    assert not any("train/mfu" in record for record in records(tmp_path, hardware={"device": "cpu"}))


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H100 PCIe", "fp16", 756.0),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312.0),
        ("NVIDIA A100 80GB PCIe", "bf16", 312.0),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16", None),
        ("NVIDIA H200", "fp32", None),
        ("NVIDIA L40", "bf16", None),
        ("Tesla T4", "fp16", None),
    ],
)
def test_peaks_by_name(name: str, precision: str, tflops: float | None) -> None:
    assert peak_flops(name, precision) == (None if tflops is None else 1e12 * tflops)

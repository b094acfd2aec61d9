"""lab/npz, read by numpy alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import model_from_bundle, tensors_of
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.build import build_model
from nanochat_framework.plugins import load_plugins
from nanochat_lab_training.config import NpzConfig
from nanochat_lab_training.npz import build_npz

MODEL = {
    "name": "decoder",
    "dim": 32,
    "n_layers": 1,
    "vocab_size": 40,
    "max_seq_len": 16,
    "attention": {"name": "gqa", "n_heads": 2, "n_kv_heads": 1, "head_dim": 16},
    "ffn": {"name": "swiglu", "hidden_dim": 48},
    "norm": {"name": "rms"},
    "residual": {"name": "add"},
}


def _bundle(quantizer: str) -> ModelBundle:
    registry = load_plugins().registry
    model = select_model(MODEL, "test", registry)
    rules = select_quantizers([{"match": "matrix", "name": quantizer}], "test", registry)
    return ModelBundle(model, rules, model.config.describe(), tensors_of(build_model(model, rules)), tokenizer=None)


@pytest.mark.parametrize("compressed", [False, True])
def test_numpy_has_the_models_weights(compressed: bool, tmp_path: Path) -> None:
    """code · scale, computed by numpy, is what the model multiplies by, bit for bit."""
    bundle, path = _bundle("ternary"), tmp_path / "m.npz"
    report = build_npz(NpzConfig(compressed=compressed)).export(bundle, path)
    assert report.n_bytes == path.stat().st_size and [p.name for p in tmp_path.iterdir()] == ["m.npz"]
    arrays = np.load(path)  # refuses pickled data
    weights = dict(model_from_bundle(bundle).named_parameters())
    for name, weight in weights.items():
        if f"{name}.codes" in arrays:
            scales = np.repeat(arrays[f"{name}.scales"], arrays[f"{name}.group_size"], axis=-1)
            values = arrays[f"{name}.codes"] * scales[..., : weight.shape[-1]]
        else:
            values = arrays[name]
        assert torch.equal(torch.from_numpy(values.astype(np.float32)), weight.detach())
    assert json.loads(arrays["nanochat.json"].tobytes())["model"]["dim"] == 32


def test_what_it_cannot_carry_is_said(tmp_path: Path) -> None:
    """8-bit floats: the message names the tensor, and nothing is written."""
    with pytest.raises(UsageError, match=r"lab/npz: blocks\.0\..*8-bit floats"):
        build_npz(NpzConfig()).export(_bundle("fp8"), tmp_path / "m.npz")
    assert not list(tmp_path.iterdir())

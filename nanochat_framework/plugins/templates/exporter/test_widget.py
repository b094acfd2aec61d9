"""acme/widget writes what another reader of JSON finds, and reads it back bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import tensors_of
from nanochat_framework.inference.tables import select_model, select_quantizers
from nanochat_framework.model.build import build_model
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry, load_plugins

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


def _bundle(registry: Registry) -> ModelBundle:
    model = select_model(MODEL, "test", registry)
    rules = select_quantizers([{"match": "matrix", "name": "int8"}], "test", registry)
    tensors = tensors_of(build_model(model, rules))
    return ModelBundle(model, rules, model.config.describe(), tensors, tokenizer=None, metadata={"step": 7})


def test_bit_for_bit(tmp_path: Path) -> None:
    """Floats, codes and scales are what they were."""
    registry = load_plugins().registry
    exporter = registry.get("exporter", "acme/widget")
    importer = registry.get("importer", "acme/widget")
    bundle, path = _bundle(registry), tmp_path / "m.widget"
    report = exporter.load_factory()(exporter.config_class()()).export(bundle, path)
    assert report.n_bytes == path.stat().st_size
    read = importer.load_factory()(importer.config_class()()).load(path, registry)
    assert read.metadata["step"] == 7 and read.tensors.keys() == bundle.tensors.keys()
    for name, tensor in bundle.tensors.items():
        found = read.tensors[name]
        if isinstance(tensor, QuantizedWeight):
            assert isinstance(found, QuantizedWeight) and found.group_size == tensor.group_size
            assert torch.equal(found.codes, tensor.codes) and torch.equal(found.scales, tensor.scales)
        else:
            assert isinstance(found, torch.Tensor) and torch.equal(found, tensor)
    gain = bundle.tensors["final_norm.weight"]
    assert isinstance(gain, torch.Tensor)
    assert json.loads(path.read_text())["tensors"]["final_norm.weight"]["values"] == gain.tolist()


@pytest.mark.parametrize("content", ["", "[1]", '{"format": "acme/widget 1"}'])
def test_what_is_no_such_file_is_one_clear_line(content: str, tmp_path: Path) -> None:
    """The message begins with the path."""
    registry = load_plugins().registry
    importer = registry.get("importer", "acme/widget")
    (tmp_path / "m.widget").write_text(content)
    with pytest.raises(UsageError, match=r"m\.widget: (cannot be read|is no file|is damaged)"):
        importer.load_factory()(importer.config_class()()).load(tmp_path / "m.widget", registry)

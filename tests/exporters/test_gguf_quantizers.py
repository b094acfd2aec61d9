"""Every quantizer's weights go into a file and come back bit for bit, in matrices, head and token table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_exporters.config import GgufConfig, GgufImporterConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_exporters.gguf.importer import build_gguf_importer
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.inference.comparison import EXACT_LOGITS, compare, relative_difference
from nanochat_framework.plugins import Registry
from tests.exporters.models import build
from tests.laws.combinations import random_tokens

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "ternary-absmax": ({"name": "ternary", "scale": "absmax"}, "TQ2_0"),
    "ternary-least-squares": ({"name": "ternary", "scale": "least_squares", "group_size": 64}, "Q4_0"),
    "ternary-learned": ({"name": "ternary", "scale": "learned"}, "TQ2_0"),
    "ternary-learned-tensor": ({"name": "ternary", "scale": "learned", "group_size": "tensor"}, "TQ2_0"),
    "ternary-warming-up": ({"name": "ternary", "warmup": {"steps": 5}}, "TQ2_0"),
    "int4": ({"name": "int4"}, "Q4_0"),
    "int4-learned": ({"name": "int4", "scale": "learned", "group_size": 128}, "Q4_0"),
    "int8": ({"name": "int8", "activation_bits": 8}, "Q8_0"),
    "int8-32": ({"name": "int8", "group_size": 32}, "Q8_0"),
    "fp8": ({"name": "fp8"}, "BF16"),
    "fp8-e5m2": ({"name": "fp8", "format": "e5m2", "group_size": "tensor"}, "BF16"),
}

HYBRID: dict[str, Any] = {
    "attention": {
        "name": "hybrid",
        "pattern": ["linear", "full"],
        "full": {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 64, "qk_norm": True, "output_gate": True},
        "linear": {"name": "deltanet", "n_heads": 2, "n_value_heads": 2, "head_dim": 128},
    },
    "ffn": {"name": "moe", "n_experts": 2, "hidden_dim": 256, "shared_hidden_dim": 256, "shared_gate": True},
    "n_layers": 2,
}
"""Most tensors of its file hold several of the model."""


@pytest.mark.parametrize("match", ["matrix", "*"])
@pytest.mark.parametrize("architecture", ["llama", "qwen35moe", "nanochat"])
@pytest.mark.parametrize("case", CASES)
def test_every_bit_comes_back(registry: Registry, tmp_path: Path, case: str, architecture: Any, match: str) -> None:
    table, type_name = CASES[case]
    parts = HYBRID if architecture == "qwen35moe" else {"ffn": {"name": "swiglu", "hidden_dim": 256}, "n_layers": 1}
    model, bundle = build(registry, [{"match": match, **table}], tie_embeddings=match == "matrix", **parts)
    path = tmp_path / "model.gguf"
    GgufExporter(GgufConfig(architecture=architecture)).export(bundle, path)
    with GgufFile(path) as file:
        types = {entry.type_name for entry in file.tensors.values()}
    assert types == {type_name, "F32"}
    again = build_gguf_importer(GgufImporterConfig()).load(path, registry)
    assert compare(bundle, again).exact
    tokens = random_tokens(2, 20)
    with torch.no_grad():
        difference = relative_difference(model(tokens), model_from_bundle(again)(tokens))
    assert difference <= EXACT_LOGITS

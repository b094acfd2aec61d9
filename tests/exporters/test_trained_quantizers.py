"""Law 1 with weights that real steps have moved: what every format gives back is what each quantizer trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_exporters.config import GgufConfig, HuggingFaceConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_exporters.huggingface.exporter import HuggingFaceExporter
from nanochat_exporters.safetensors_file import SafetensorsExporter
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.exporter import Exporter, ModelBundle
from nanochat_framework.data.loader import Batch
from nanochat_framework.inference.bundle import bundle_from, bundle_from_checkpoint, model_from_bundle
from nanochat_framework.inference.comparison import EXACT_LOGITS, compare, relative_difference
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from nanochat_framework.runs.checkpoint_store import CheckpointStore
from nanochat_framework.training.checkpoint import CheckpointMeta, write_checkpoint
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]
CASES: dict[str, dict[str, Any]] = {
    "int4": {"name": "int4"},
    "int4-learned": {"name": "int4", "scale": "learned", "group_size": 64},
    "int8": {"name": "int8", "activation_bits": 8},
    "fp8": {"name": "fp8"},
    "fp8-e5m2-tensor": {"name": "fp8", "format": "e5m2", "group_size": "tensor", "activation_bits": 0},
    "ternary-learned": {"name": "ternary", "scale": "learned", "group_size": 32},
    "ternary-learned-tensor": {"name": "ternary", "scale": "learned", "group_size": "tensor"},
    "ternary-warmed-up": {"name": "ternary", "group_size": 32, "warmup": {"steps": 3}},
}
FORMATS: dict[str, tuple[Exporter, str]] = {
    "llama.gguf": (GgufExporter(GgufConfig(architecture="llama")), "model.gguf"),
    "nanochat.gguf": (GgufExporter(GgufConfig(architecture="nanochat")), "model.gguf"),
    "safetensors": (SafetensorsExporter(), "model.safetensors"),
    "huggingface": (HuggingFaceExporter(HuggingFaceConfig()), "folder"),
}


def _trained(config: RunConfig, folder: Path, registry: Registry) -> tuple[TrainModule, ModelBundle]:
    """Four real steps, and the checkpoint after them as commands read it."""
    module = TrainModule(config, torch.device("cpu"))
    for step in range(1, 5):
        tokens = random_tokens(4, 17, seed=step)
        module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], step)
    loop = {"step": 4, "tokens": 256, "callbacks": {}}
    meta = CheckpointMeta(config.to_dict(), [], loop, module.state(), 1)
    store = CheckpointStore(folder / "checkpoints")
    path = store.write("step_00000004", lambda inside: write_checkpoint(inside, module, meta, None))
    return module, bundle_from_checkpoint(path, registry)


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_back_is_what_was_trained(
    tiny_config: Make, registry: Registry, tmp_path: Path, case: str
) -> None:
    model = {**changes("gqa-swiglu-tied"), "model__tie_embeddings": False}
    config = tiny_config(**{**model, "quantizer": [{"match": "*", **CASES[case]}]})
    module, bundle = _trained(config, tmp_path, registry)
    n_quantized = sum(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
    assert n_quantized == 16  # seven a block, the table and the head
    tokens = random_tokens(2, 20)
    with torch.no_grad():
        logits = module.model.eval()(tokens)
    assert relative_difference(logits, model_from_bundle(bundle)(tokens)) <= EXACT_LOGITS
    for name, (exporter, file) in FORMATS.items():
        (tmp_path / name).mkdir()
        exporter.export(bundle, tmp_path / name / file)
        again = bundle_from(tmp_path / name / file, registry)
        assert compare(exporter.as_written(bundle), again).exact, name
        if name != "huggingface":  # which knows no rounding of activations
            assert relative_difference(logits, model_from_bundle(again)(tokens)) <= EXACT_LOGITS, name


def test_experts_in_8_bit_floats_are_stacked_as_bf16(tiny_config: Make, registry: Registry, tmp_path: Path) -> None:
    model = changes("gqa-swiglu-tied")
    attention = {**model["model__attention"], "qk_norm": True}
    experts = {"name": "moe", "n_experts": 4, "n_active": 2, "hidden_dim": 32}
    fp8 = [{"match": "matrix", "name": "fp8"}]
    config = tiny_config(**{**model, "model__attention": attention, "model__ffn": experts, "quantizer": fp8})
    _, bundle = _trained(config, tmp_path, registry)
    path = tmp_path / "moe.gguf"
    GgufExporter(GgufConfig(architecture="qwen3moe")).export(bundle, path)
    with GgufFile(path) as file:
        kinds = {name: entry.type_name for name, entry in file.tensors.items() if "_exps" in name}
    assert len(kinds) == 6
    assert set(kinds.values()) == {"BF16"}
    assert compare(bundle, bundle_from(path, registry)).exact

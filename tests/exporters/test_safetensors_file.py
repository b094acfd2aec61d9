"""One file that is a whole model: what comes back is bit for bit what went in, and damage is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nanochat_exporters.config import SafetensorsConfig
from nanochat_exporters.safetensors_file import build_safetensors_exporter
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from, bundle_from_checkpoint
from nanochat_framework.inference.comparison import compare
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.huggingface_models import small
from tests.exporters.models import small_tokenizer
from tests.inference.checkpoints import write_checkpoint
from tests.laws.combinations import COMBINATIONS, changes

TERNARY = [{"match": "matrix", "name": "ternary", "group_size": 32}]


def export(bundle: Any, path: Path) -> Path:
    build_safetensors_exporter(SafetensorsConfig()).export(bundle, path)
    return path


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_every_model_comes_back_bit_for_bit(
    tmp_path: Path,
    tiny_config: Callable[..., RunConfig],
    probe_registry: Registry,
    combination: str,
    quantizer: str,
) -> None:
    """Models of strangers too: nothing here asks what a part is."""
    write_checkpoint(tmp_path / "checkpoints", "final", tiny_config(**changes(combination, quantizer)))
    bundle = bundle_from_checkpoint(tmp_path / "checkpoints" / "final", probe_registry)
    read_back = bundle_from(export(bundle, tmp_path / "m.safetensors"), probe_registry)
    comparison = compare(bundle, read_back)
    assert comparison.exact and comparison.logits == 0.0
    assert comparison.n_quantized == sum(isinstance(t, QuantizedWeight) for t in bundle.tensors.values())
    assert (comparison.n_quantized > 0) == (quantizer == "ternary")
    assert read_back.tokenizer is not None and bundle.tokenizer is not None
    assert read_back.tokenizer.to_json() == bundle.tokenizer.to_json()
    assert {key: read_back.metadata[key] for key in ("name", "step", "tokens")} == {
        key: bundle.metadata[key] for key in ("name", "step", "tokens")
    }


def test_others_can_read_it(registry: Registry, tmp_path: Path) -> None:
    bundle = replace(small(registry, TERNARY), tokenizer=small_tokenizer())
    path = export(bundle, tmp_path / "m.safetensors")
    weights = load_file(path)
    name, weight = next((n, t) for n, t in bundle.tensors.items() if isinstance(t, QuantizedWeight))
    values = weights[f"{name}.codes"].float() * weights[f"{name}.scales"].repeat_interleave(32, dim=1)
    assert torch.equal(values, weight.dequantize())
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["nanochat"])["model"] == bundle.model.to_dict()
    assert metadata["tokenizer_sha256"] == small_tokenizer().fingerprint


@pytest.fixture
def parts(registry: Registry, tmp_path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a good file."""
    path = export(replace(small(registry, TERNARY), tokenizer=small_tokenizer()), tmp_path / "good.safetensors")
    with safe_open(path, framework="pt") as file:
        return load_file(path), file.metadata()


def _about(**changes: Any) -> Callable[[dict[str, Any], dict[str, str]], None]:
    def change(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
        metadata["nanochat"] = json.dumps({**json.loads(metadata["nanochat"]), **changes})

    return change


NAME = "blocks.0.attention.query.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda t, m: m.pop("nanochat"),
            "holds tensors without saying of which model; name the folder of its checkpoint",
        ),
        (lambda t, m: m.update(nanochat="{"), "metadata 'nanochat' is damaged"),
        (lambda t, m: m.update(nanochat="[]"), "metadata 'nanochat' is damaged"),
        (_about(format_version=9), "format_version 9, this version reads 1"),
        (_about(group_sizes={NAME: 0}), "metadata 'nanochat' is damaged"),
        (_about(group_sizes={}), f"{NAME.replace('query', 'key')} is missing"),
        (_about(model={"name": "mamba"}), "unknown model 'mamba'"),
        (lambda t, m: t.pop(f"{NAME}.codes"), f"the tensor '{NAME}.codes' is missing"),
        (lambda t, m: t.update({f"{NAME}.codes": torch.zeros(64, 64)}), f"{NAME}: codes"),
        (lambda t, m: t.pop("final_norm.weight"), "final_norm.weight is missing"),
        (lambda t, m: t.update(odd=torch.ones(1)), "odd is not in the model"),
        (lambda t, m: m.update({"tokenizer.json": "{"}), "metadata 'tokenizer.json' is damaged"),
        (lambda t, m: m.update(tokenizer_sha256="0"), "its tokenizer is not the one of tokenizer_sha256"),
    ],
)
def test_damage_is_one_line(
    registry: Registry, tmp_path: Path, parts: Any, change: Callable[[Any, Any], Any], expected: str
) -> None:
    tensors, metadata = parts
    change(tensors, metadata)
    save_file(tensors, tmp_path / "bad.safetensors", metadata=metadata)
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(tmp_path / "bad.safetensors", registry)
    assert "\n" not in str(caught.value) and "bad.safetensors" in str(caught.value)


def test_noise_and_places_that_cannot_be_written(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    with pytest.raises(UsageError, match=r"noise.safetensors: cannot be read"):
        bundle_from(tmp_path / "noise.safetensors", registry)
    for name, expected in ((".", "is a directory"), ("no/m.safetensors", "does not exist")):
        with pytest.raises(UsageError, match=expected):
            export(small(registry), tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["noise.safetensors"]

"""Finding a model where a person says it is, and rebuilding it from what is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from, bundle_from_checkpoint, model_from_bundle
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registrar, Registry
from nanochat_framework.runs.checkpoint_manifest import seal
from tests.inference.checkpoints import make_run, write_checkpoint
from tests.laws.combinations import COMBINATIONS, changes, random_tokens

MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def run(tmp_path: Path, tiny_config: MakeConfig) -> Path:
    """A run of three checkpoints with different weights."""
    path = make_run(tmp_path / "runs" / "first")
    for seed, name in enumerate(("step_00000003", "final", "best")):
        write_checkpoint(path / "checkpoints", name, tiny_config(model__vocab_size=608), seed=seed, step=seed)
    return path


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("quantizer", ["float", "ternary"])
@torch.no_grad()
def test_gives_the_logits_of_training(
    tmp_path: Path, tiny_config: MakeConfig, probe_registry: Registry, combination: str, quantizer: str
) -> None:
    config = tiny_config(**changes(combination, quantizer))
    trained = write_checkpoint(tmp_path / "checkpoints", "final", config)
    bundle = bundle_from_checkpoint(tmp_path / "checkpoints" / "final", probe_registry)
    rebuilt = model_from_bundle(bundle)
    tokens = random_tokens(2, 20)
    assert torch.equal(rebuilt(tokens), trained(tokens))
    n_quantized = sum(isinstance(tensor, QuantizedWeight) for tensor in bundle.tensors.values())
    assert (n_quantized > 0) == (quantizer == "ternary")
    assert not rebuilt.training and not any(p.requires_grad for p in rebuilt.parameters())


def test_the_best_then_the_final_then_the_newest(run: Path, registry: Registry) -> None:
    for expected in ("best", "final", "step_00000003"):
        bundle = bundle_from("first", registry, runs_dir=run.parent)
        assert Path(bundle.metadata["checkpoint"]).name == expected
        (run / "checkpoints" / expected / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UsageError, match="no whole checkpoint"):
        bundle_from(run, registry)


def test_facts_travel_with_the_weights(run: Path, registry: Registry) -> None:
    bundle = bundle_from(run / "checkpoints" / "best", registry)
    assert bundle.metadata["name"] == "first"
    assert (bundle.metadata["step"], bundle.metadata["tokens"]) == (2, 200)
    assert bundle.tokenizer is not None and bundle.tokenizer.vocab_size == 600


def test_a_checkpoint_outside_a_run_is_read(run: Path, registry: Registry, tmp_path: Path) -> None:
    (run / "checkpoints" / "best").rename(tmp_path / "copied")
    assert bundle_from(tmp_path / "copied", registry).metadata["name"] == "copied"


def test_a_torn_checkpoint_is_refused_by_name(run: Path, registry: Registry) -> None:
    (run / "checkpoints" / "best" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UsageError, match="best: not a whole checkpoint: .*model.safetensors"):
        bundle_from(run / "checkpoints" / "best", registry)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("frist", "no model 'frist': no such file or folder, and no run 'frist' in .*did you mean 'first'"),
        ("folder", "a folder without meta.json or checkpoints/"),
        ("model.bin", r"model.bin: no importer reads .bin files \(known: .gguf, .safetensors\)"),
        ("noise.gguf", "noise.gguf: not a usable GGUF file"),
    ],
)
def test_what_is_not_there_is_one_line(
    run: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.bin").write_bytes(b"x")
    (tmp_path / "noise.gguf").write_bytes(b"noise")
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(target, registry, runs_dir=run.parent)
    assert "\n" not in str(caught.value)


def _set(meta: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        meta = meta[part]
    meta[last] = value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("schema_version", 9, "schema 9"),
        ("config", None, "no configuration"),
        ("config.model.name", "mamba", "unknown model 'mamba'"),
        ("config.model.attention.name", "gqb", "did you mean 'gqa'"),
        ("config.model.dim", -1, "dim"),
        ("config.model.n_layers", 3, "blocks.2.attention.key.weight is missing"),
        ("config.model.n_layers", 1, "blocks.1.attention.key.weight is not in the model"),
        ("config.model.vocab_size", 700, r"embedding.weight is \(608, 64\), the model has \(700, 64\)"),
    ],
)
def test_damaged_checkpoints_say_where(
    run: Path, registry: Registry, tmp_path: Path, path: str, value: Any, expected: str
) -> None:
    copied = tmp_path / "copied"
    (run / "checkpoints" / "best").rename(copied)
    meta = json.loads((copied / "meta.json").read_text())
    _set(meta, path, value)
    (copied / "meta.json").write_text(json.dumps(meta))
    seal(copied, None)
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(copied, registry)
    assert "copied" in str(caught.value) and "\n" not in str(caught.value)


def test_the_optimizers_plugin_is_not_needed(run: Path, registry: Registry, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    (run / "checkpoints" / "best").rename(copied)
    meta = json.loads((copied / "meta.json").read_text())
    meta["config"]["optimizer"] = [{"match": "*", "name": "somebody/elses"}]
    (copied / "meta.json").write_text(json.dumps(meta))
    seal(copied, None)
    assert bundle_from(copied, registry).description.dim == 64


def test_a_file_that_two_importers_read(registry: Registry, tmp_path: Path) -> None:
    registrar = Registrar("jo", "jo", "nanochat-jo", "1")
    for name in ("jo/a", "jo/b"):
        registrar.importer(name, config=".c:C", factory=".i:f", summary="s", suffixes=(".jo",))
    both = Registry()
    both.commit([*registry.components(), *registrar.components])
    (tmp_path / "m.jo").write_text("")
    with pytest.raises(UsageError, match=r"m\.jo: is read by jo/a of nanochat-jo and jo/b of nanochat-jo; leave one"):
        bundle_from(tmp_path / "m.jo", both)

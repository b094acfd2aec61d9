"""Folders that transformers writes: our logits are theirs, the weights come back bit for bit, and the rest is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanochat_exporters.config import HuggingFaceConfig
from nanochat_exporters.huggingface.exporter import HuggingFaceExporter
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from
from nanochat_framework.plugins import Registry
from tests.exporters.huggingface_models import our_logits, some_tokens, their_logits

transformers = pytest.importorskip("transformers", reason="transformers is the reference of these tests")

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 97,
    "max_position_embeddings": 64,
}

EXPERTS: dict[str, Any] = {
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 40,
    "norm_topk_prob": True,
}


def save(
    path: Path, dtype: torch.dtype = torch.float32, shard: str = "5GB", kind: str = "Llama", **changes: Any
) -> Any:
    """A model with random weights (norms too) of transformers, saved."""
    further = EXPERTS if kind == "Qwen3Moe" else {}
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **further, **changes})
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(path, max_shard_size=shard)
    return model


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    data = json.loads(path.read_text())
    for key, value in changes.items():
        data.pop(key, None)
        if value is not None:
            data[key] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "Qwen3Moe"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"num_key_value_heads": 4, "rms_norm_eps": 1e-3},
        {"num_key_value_heads": 1, "head_dim": 24},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    ],
    ids=["untied", "tied", "mha", "mqa_wide", "theta"],
)
def test_logits_are_theirs(registry: Registry, tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    theirs = save(tmp_path / "hf", kind=kind, **changes)
    bundle = bundle_from(tmp_path / "hf", registry)
    assert bundle.tokenizer is None and bundle.metadata["name"] == "hf"
    tokens = some_tokens(bundle)
    torch.testing.assert_close(our_logits(bundle, tokens), their_logits(theirs, tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "dtype", "precision"),
    [
        ("Llama", torch.float32, "fp32"),
        ("Qwen3", torch.bfloat16, "bf16"),
        ("Llama", torch.float16, "fp16"),
        ("Qwen3Moe", torch.bfloat16, "bf16"),
    ],
)
def test_weights_come_back_bit_for_bit(
    registry: Registry, tmp_path: Path, kind: str, dtype: torch.dtype, precision: Any
) -> None:
    save(tmp_path / "hf", dtype, kind=kind)
    bundle = bundle_from(tmp_path / "hf", registry)
    HuggingFaceExporter(HuggingFaceConfig(precision=precision)).export(bundle, tmp_path / "again")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("hf", "again"))
    assert first.keys() == second.keys()
    assert all(second[name].dtype is dtype and torch.equal(first[name], second[name]) for name in first)


def test_shards_are_read(registry: Registry, tmp_path: Path) -> None:
    theirs = save(tmp_path / "hf", shard="100KB")
    assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 1
    bundle = bundle_from(tmp_path / "hf", registry)
    tokens = some_tokens(bundle)
    torch.testing.assert_close(our_logits(bundle, tokens), their_logits(theirs, tokens), rtol=1e-4, atol=1e-4)


def test_configurations_of_older_versions_are_read(registry: Registry, tmp_path: Path) -> None:
    """transformers 4 has `rope_theta` at the top and leaves `rope_scaling` null; some saved tables that are computed."""
    theirs = save(tmp_path / "hf", rope_parameters={"rope_type": "default", "rope_theta": 7000.0})
    edit(
        tmp_path / "hf" / "config.json",
        rope_parameters=None,
        rope_theta=7000.0,
        head_dim=None,
        attention_bias=None,
        mlp_bias=None,
        torch_dtype="float32",
    )
    weights = load_file(tmp_path / "hf" / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(weights, tmp_path / "hf" / "model.safetensors")
    bundle = bundle_from(tmp_path / "hf", registry)
    tokens = some_tokens(bundle)
    torch.testing.assert_close(our_logits(bundle, tokens), their_logits(theirs, tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; llama, qwen3, qwen3_moe can be read"),
        ({"attention_bias": True}, "attention_bias is true: the model has biases in its attention"),
        ({"mlp_bias": True}, "mlp_bias is true"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": None}, "rope scaling 'linear'"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "rope scaling 'llama3'"),
        (
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "models of this type turn whole heads",
        ),
        ({"model_type": "qwen3", "use_sliding_window": True}, "some layers have a sliding window"),
        ({"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        ({"model_type": "qwen3"}, "has no tensor model.layers.0.self_attn.q_norm.weight"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"quantization_config": {"bits": 4}}, "import the unquantised model"),
        ({"hidden_size": None}, "hidden_size is None, not a positive whole number"),
        ({"num_hidden_layers": 3}, "has no tensor model.layers.2"),
        ({"num_hidden_layers": 1}, "has no place for its tensor model.layers.1"),
        ({"vocab_size": 96}, r"model.embed_tokens.weight is \(97, 64\), its config.json says \(96, 64\)"),
        ({"num_key_value_heads": 3}, "n_kv_heads 3 must divide n_heads 4"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps is 'small', not a positive number"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    save(tmp_path / "hf")
    edit(tmp_path / "hf" / "config.json", **changes)
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(tmp_path / "hf", registry)
    assert "\n" not in str(caught.value) and str(tmp_path / "hf") in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"norm_topk_prob": False}, "norm_topk_prob is not true"),
        ({"mlp_only_layers": [0]}, "some layers have no experts"),
        ({"decoder_sparse_step": 2}, "some layers have no experts"),
        ({"num_experts_per_tok": 7}, "n_active 7 is more than n_experts 6"),
    ],
)
def test_experts_that_cannot_be_read_are_one_line(
    registry: Registry, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    save(tmp_path / "hf", kind="Qwen3Moe")
    edit(tmp_path / "hf" / "config.json", **changes)
    with pytest.raises(UsageError, match=expected) as caught:
        bundle_from(tmp_path / "hf", registry)
    assert "\n" not in str(caught.value)


def test_pickles_are_never_opened(registry: Registry, tmp_path: Path) -> None:
    save(tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").rename(tmp_path / "hf" / "pytorch_model.bin")
    with pytest.raises(
        UsageError, match=r"its weights are pickled \(pytorch_model.bin\), and reading a pickle can run"
    ):
        bundle_from(tmp_path / "hf", registry)
    (tmp_path / "hf" / "pytorch_model.bin").unlink()
    with pytest.raises(UsageError, match="has neither model.safetensors nor"):
        bundle_from(tmp_path / "hf", registry)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "holds no JSON object"),
        ('{"weight_map": 3}', "has no weight_map"),
        ('{"weight_map": {"a": "../secret"}}', "names '../secret', which is not a file beside it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "names 'gone.safetensors', which is not a file beside it"),
        ('{"weight_map": {"model.embed_tokens.weight": "torn.safetensors"}}', "torn.safetensors: cannot be read"),
    ],
)
def test_a_damaged_index_is_one_line(registry: Registry, tmp_path: Path, index: str, expected: str) -> None:
    save(tmp_path / "hf")
    (tmp_path / "hf" / "torn.safetensors").write_bytes(b"torn")
    (tmp_path / "hf" / "model.safetensors.index.json").write_text(index)
    if "torn" in index:
        names = dict.fromkeys(load_file(tmp_path / "hf" / "model.safetensors"), "torn.safetensors")
        (tmp_path / "hf" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(UsageError, match=expected):
        bundle_from(tmp_path / "hf", registry)


def test_codes_are_no_plain_weights(registry: Registry, tmp_path: Path) -> None:
    save(tmp_path / "hf")
    weights = load_file(tmp_path / "hf" / "model.safetensors")
    weights["model.norm.weight"] = torch.ones(64, dtype=torch.int8)
    save_file(weights, tmp_path / "hf" / "model.safetensors")
    with pytest.raises(UsageError, match=r"model.norm.weight is stored as torch.int8, which is no plain float"):
        bundle_from(tmp_path / "hf", registry)

"""The architectures of stock llama.cpp: what they carry, what they refuse and how they say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf import stock
from nanochat_exporters.gguf.architectures import (
    LLAMA,
    LLAMA_EXPERTS,
    NAMES,
    QWEN3,
    QWEN3_EXPERTS,
    StockArchitecture,
    best_fit,
)
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.placement import at, gather, ones, rotary_pairs, scatter
from nanochat_exporters.gguf.storage import regroup
from nanochat_framework.inference.tables import select_model
from nanochat_framework.model.description import (
    Block,
    Embedding,
    GatedFeedForward,
    Linear,
    ModelDescription,
    RmsNorm,
    Rotary,
    SoftmaxAttention,
    TensorSpec,
)
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.models import model_table

MOE = {"name": "moe", "n_experts": 4, "n_active": 2, "hidden_dim": 64}


def describe(registry: Registry, **changes: Any) -> ModelDescription:
    """The description of a decoder."""
    description = select_model(model_table(**changes), "model", registry).config.describe()
    assert isinstance(description, ModelDescription)
    return description


@given(heads=st.integers(1, 6), half=st.integers(1, 8))
@settings(deadline=None)
def test_reordering_pairs_and_back(heads: int, half: int) -> None:
    rows = torch.arange(heads * 2 * half)
    spec = TensorSpec("q", (heads * 2 * half, 1), "matrix")
    place = at("attn_q", spec, rows=rotary_pairs(heads, 2 * half))
    moved = gather(place, {"q": rows[:, None]})
    assert isinstance(moved, torch.Tensor)
    again = scatter(place, moved)["q"]
    assert isinstance(again, torch.Tensor) and torch.equal(again, rows[:, None])
    for head in range(heads):
        for pair in range(half):
            start = head * 2 * half
            assert moved[start + 2 * pair] == start + pair
            assert moved[start + 2 * pair + 1] == start + pair + half


def test_keys_and_tensors_of_a_model_it_carries(registry: Registry) -> None:
    description = describe(registry, tie_embeddings=False)
    keys = stock.keys(LLAMA, description)
    assert keys["llama.attention.head_count_kv"] == 2 and keys["llama.rope.dimension_count"] == 64
    placed = stock.placements(LLAMA, description)
    assert {name for place in placed for name in place.names} == {spec.name for spec in description.tensors()}
    assert len(placed) == 1 + 9 * 2 + 2
    assert {place.file_name: place.rows.outer for place in placed if place.rows} == {
        f"blk.{layer}.attn_{which}.weight": heads for layer in range(2) for which, heads in (("q", 4), ("k", 2))
    }


def test_qwen3_is_for_normalised_heads(registry: Registry) -> None:
    """It has two more norms a layer, and its rotary pairs are ours: no row moves."""
    plain, normed = (
        describe(registry, attention={**model_table()["attention"], "qk_norm": on}) for on in (False, True)
    )
    assert best_fit(plain) is LLAMA and best_fit(normed) is QWEN3
    placed = stock.placements(QWEN3, normed)
    assert {name for place in placed for name in place.names} == {spec.name for spec in normed.tensors()}
    assert {place.file_name for place in placed if place.shape == (64,)} == {
        f"blk.{layer}.attn_{which}_norm.weight" for layer in range(2) for which in "qk"
    }
    assert not any(place.rows for place in placed)
    keys = stock.keys(QWEN3, normed)
    assert keys["qwen3.attention.key_length"] == 64 and all(key.startswith("qwen3.") for key in keys)
    with pytest.raises(
        CannotCarry, match=r"blocks\.0\.attention does normalise its heads \(qk_norm\); llama's attention does not"
    ):
        stock.placements(LLAMA, normed)
    with pytest.raises(
        CannotCarry, match=r"attention does not normalise its heads \(qk_norm\); qwen3's attention does"
    ):
        stock.placements(QWEN3, plain)


@pytest.mark.parametrize(("architecture", "normed"), [(LLAMA_EXPERTS, False), (QWEN3_EXPERTS, True)])
def test_experts_are_one_tensor_for_each_map(registry: Registry, architecture: StockArchitecture, normed: bool) -> None:
    attention = {**model_table()["attention"], "qk_norm": normed}
    description = describe(registry, attention=attention, ffn=MOE)
    assert best_fit(description) is architecture
    placed = stock.placements(architecture, description)
    assert {name for place in placed for name in place.names} == {spec.name for spec in description.tensors()}
    shapes = {place.file_name: place.shape for place in placed}
    assert shapes["blk.1.ffn_gate_inp.weight"] == (4, 256)
    assert shapes["blk.1.ffn_gate_exps.weight"] == shapes["blk.1.ffn_up_exps.weight"] == (4, 64, 256)
    assert shapes["blk.1.ffn_down_exps.weight"] == (4, 256, 64)
    keys = stock.keys(architecture, description)
    at = architecture.name
    assert (keys[f"{at}.expert_count"], keys[f"{at}.expert_used_count"]) == (4, 2)
    assert keys[f"{at}.feed_forward_length"] == keys[f"{at}.expert_feed_forward_length"] == 64


@pytest.mark.parametrize(
    ("ffn", "expected"),
    [
        ({**MOE, "shared_hidden_dim": 64}, r"blocks\.0\.ffn has a shared expert \(shared_hidden_dim\); llama has none"),
        (
            {**MOE, "bias_update_speed": 0.001},
            r"blocks\.0\.ffn chooses experts by scores with a bias \(bias_update_speed\); llama has no place",
        ),
        ({**MOE, "n_experts": 1025}, r"blocks\.0\.ffn has 1025 experts; llama\.cpp takes at most 1024"),
        ({"name": "swiglu", "hidden_dim": 64}, r"blocks\.0\.ffn has no experts; llama has only layers with experts"),
    ],
)
def test_what_experts_cannot_be(registry: Registry, ffn: dict[str, Any], expected: str) -> None:
    with pytest.raises(CannotCarry, match=expected):
        stock.placements(LLAMA_EXPERTS, describe(registry, ffn=ffn))


def test_no_architecture_that_is_written_has_a_bias_of_experts() -> None:
    """As llama.cpp's own table of tensors has it; the day that one does, it can be written."""
    gguf = pytest.importorskip("gguf", reason="the gguf package knows llama.cpp's tensors")
    with_bias = {
        gguf.MODEL_ARCH_NAMES[architecture]
        for architecture, tensors in gguf.MODEL_TENSORS.items()
        if gguf.MODEL_TENSOR.FFN_EXP_PROBS_B in tensors
    }
    assert "deepseek2" in with_bias
    assert not with_bias & set(NAMES)


def test_parts_of_one_tensor_are_rounded_alike(registry: Registry) -> None:
    """Experts are one tensor of the file: one that is rounded and one that is not do not go together."""
    specs = [TensorSpec(name, (2, 64), "matrix") for name in "ab"]
    place = at("both", *specs, shape=(2, 2, 64))
    codes = torch.ones(2, 64, dtype=torch.int8)
    whole, halves = (QuantizedWeight(codes, torch.ones(2, 64 // group), group) for group in (64, 32))
    with pytest.raises(CannotCarry, match="a and b are rounded in different ways, and both holds both"):
        gather(place, {"a": whole, "b": torch.ones(2, 64)})
    joined = gather(place, {"a": whole, "b": halves})
    assert isinstance(joined, QuantizedWeight) and joined.group_size == 32 and joined.shape == (2, 2, 64)
    parts = scatter(place, joined)
    again = [regroup(name, part, 64) for name, part in parts.items() if isinstance(part, QuantizedWeight)]
    assert [torch.equal(part.scales, whole.scales) and torch.equal(part.codes, codes) for part in again] == [True, True]


def test_norms_of_heads_share_the_eps(registry: Registry) -> None:
    attention = {**model_table()["attention"], "qk_norm": True, "qk_norm_eps": 1e-5}
    with pytest.raises(CannotCarry, match="norms have different eps"):
        stock.placements(QWEN3, describe(registry, attention=attention))


def test_norms_without_gains_are_written_as_ones(registry: Registry) -> None:
    placed = stock.placements(LLAMA, describe(registry, norm={"name": "rms", "affine": False}))
    gains = [place for place in placed if not place.parts]
    assert [place.file_name for place in gains][:2] == ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"]
    assert ones(gains[0]).data.tolist() == [1.0] * 256


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ffn": {"name": "relu2", "hidden_dim": 512}}, r"blocks\.0\.ffn is a plain feed-forward with relu2"),
        ({"ffn": MOE}, r"blocks\.0\.ffn chooses experts; llama has no layers with experts"),
        ({"value_embeddings": {}}, r"blocks\.1\.value_embedding adds rows of a table .*\(value_embeddings\); llama"),
        ({"attention": {"name": "probe/recurrent"}}, "RecurrentConfig does not describe itself"),
        ({"residual": {"name": "probe/two_streams"}}, "TwoStreamsConfig does not describe itself"),
        ({"ffn": {"name": "probe/top2"}}, "Top2Config does not describe itself"),
    ],
)
def test_components_it_lacks_are_named(probe_registry: Registry, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(CannotCarry, match=expected):
        stock.placements(LLAMA, describe(probe_registry, **changes))


def _parts(description: ModelDescription) -> tuple[Block, SoftmaxAttention, GatedFeedForward, RmsNorm]:
    block = description.blocks[1]
    assert isinstance(block.mixer, SoftmaxAttention) and isinstance(block.ffn, GatedFeedForward)
    assert isinstance(block.ffn_norm, RmsNorm)
    return block, block.mixer, block.ffn, block.ffn_norm


def test_details_it_lacks_are_named(registry: Registry) -> None:
    """Descriptions that no first-party component makes yet, but a stranger's may."""
    whole = describe(registry)
    block, mixer, ffn, norm = _parts(whole)
    bias = TensorSpec("blocks.1.attention.query.bias", (256,), "bias")
    wide = Linear(TensorSpec("blocks.1.ffn.gate.weight", (768, 256), "matrix"))
    blocks = {
        "no rotary": replace(block, mixer=replace(mixer, rotary=None)),
        "turns 32 of 64 channels by position": replace(block, mixer=replace(mixer, rotary=Rotary(1e4, 32))),
        "scales its scores by 1": replace(block, mixer=replace(mixer, scale=1.0)),
        "blocks.1.attention.query.bias is a bias": replace(
            block, mixer=replace(mixer, query=replace(mixer.query, bias=bias))
        ),
        "differ in their attention": replace(block, mixer=replace(mixer, n_kv_heads=1)),
        "differ in their feed-forward width": replace(block, ffn=replace(ffn, gate=wide)),
        "different eps": replace(block, ffn_norm=replace(norm, eps=1e-3)),
    }
    for expected, changed in blocks.items():
        with pytest.raises(CannotCarry, match=expected):
            stock.placements(LLAMA, replace(whole, blocks=(whole.blocks[0], changed)))
    with pytest.raises(CannotCarry, match="scaled by 16"):
        stock.placements(LLAMA, replace(whole, embedding=Embedding(whole.embedding.weight, scale=16.0)))

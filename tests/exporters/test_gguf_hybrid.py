"""Gated attention and delta nets as qwen35: keys, order of heads, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf import hybrid, stock
from nanochat_exporters.gguf.architectures import QWEN3, QWEN35, QWEN35_EXPERTS, best_fit
from nanochat_exporters.gguf.contents import CannotCarry
from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_exporters.gguf.importer import GgufImporter
from nanochat_exporters.gguf.placement import gather, scatter
from nanochat_exporters.gguf.storage import regroup
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.inference.comparison import compare
from nanochat_framework.inference.tables import select_model
from nanochat_framework.model.description import GatedDeltaNet, ModelDescription
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.gguf_files import export, rewrite, set_key, without_our_keys
from tests.exporters.models import TERNARY, build, float_twin, model_table
from tests.laws.combinations import random_tokens

FULL = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 32, "qk_norm": True, "output_gate": True}
LINEAR = {"name": "deltanet", "n_heads": 2, "n_value_heads": 6, "head_dim": 32}


def attention(pattern: str, **linear: Any) -> dict[str, Any]:
    """`lf`: a delta net, then softmax attention."""
    kinds = {"l": "linear", "f": "full"}
    return {
        "name": "hybrid",
        "pattern": [kinds[letter] for letter in pattern],
        "full": FULL,
        "linear": {**LINEAR, **linear},
    }


def describe(registry: Registry, **changes: Any) -> ModelDescription:
    """The description of a decoder."""
    description = select_model(model_table(**changes), "model", registry).config.describe()
    assert isinstance(description, ModelDescription)
    return description


def test_keys_and_tensors(registry: Registry) -> None:
    description = describe(registry, attention=attention("lf"), tie_embeddings=False)
    assert best_fit(description) is QWEN35
    placed = stock.placements(QWEN35, description)
    assert {name for place in placed for name in place.names} == {spec.name for spec in description.tensors()}
    shapes = {place.file_name: place.shape for place in placed}
    assert shapes["blk.0.attn_qkv.weight"] == ((2 + 2 + 6) * 32, 256)
    assert shapes["blk.0.ssm_conv1d.weight"] == ((2 + 2 + 6) * 32, 4)
    assert shapes["blk.0.ssm_out.weight"] == (256, 6 * 32) and shapes["blk.0.ssm_a"] == (6,)
    assert shapes["blk.1.attn_q.weight"] == (2 * 4 * 32, 256)
    assert "blk.1.post_attention_norm.weight" in shapes and "blk.1.ffn_norm.weight" not in shapes
    keys = stock.keys(QWEN35, description)
    assert {key.removeprefix("qwen35.ssm."): value for key, value in keys.items() if ".ssm." in key} == {
        "conv_kernel": 4,
        "state_size": 32,
        "group_count": 2,
        "time_step_rank": 6,
        "inner_size": 192,
    }
    assert keys["qwen35.rope.dimension_sections"] == [6, 5, 5, 0]
    partly = {**attention("lf"), "full": {**FULL, "rotary_dim": 8}}
    keys = stock.keys(QWEN35, describe(registry, attention=partly))
    assert keys["qwen35.rope.dimension_sections"] == [2, 1, 1, 0] and keys["qwen35.rope.dimension_count"] == 8


MOE = {"name": "moe", "n_experts": 3, "hidden_dim": 256, "shared_hidden_dim": 512, "shared_gate": True}


def test_the_shared_expert_has_tensors_and_a_key_of_its_own(registry: Registry) -> None:
    description = describe(registry, attention=attention("lf"), ffn=MOE)
    assert best_fit(description) is QWEN35_EXPERTS
    placed = stock.placements(QWEN35_EXPERTS, description)
    assert {name for place in placed for name in place.names} == {spec.name for spec in description.tensors()}
    shapes = {place.file_name: place.shape for place in placed}
    assert shapes["blk.1.ffn_gate_inp_shexp.weight"] == (256,)
    assert shapes["blk.1.ffn_up_shexp.weight"] == (512, 256) and shapes["blk.1.ffn_up_exps.weight"] == (3, 256, 256)
    keys = stock.keys(QWEN35_EXPERTS, description)
    assert keys["qwen35moe.expert_shared_feed_forward_length"] == 512
    assert keys["qwen35moe.expert_feed_forward_length"] == 256


@pytest.mark.parametrize(
    ("ffn", "expected"),
    [
        (
            {**MOE, "shared_gate": False},
            r"blocks\.0\.ffn has a shared expert without a gate \(shared_gate\); qwen35moe's",
        ),
        (
            {**MOE, "shared_gate": False, "shared_hidden_dim": 0},
            r"blocks\.0\.ffn has no shared expert \(shared_hidden_dim\); qwen35moe has one",
        ),
    ],
)
def test_the_shared_expert_is_as_llama_cpp_has_it(registry: Registry, ffn: dict[str, Any], expected: str) -> None:
    with pytest.raises(CannotCarry, match=expected):
        stock.placements(QWEN35_EXPERTS, describe(registry, attention=attention("lf"), ffn=ffn))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("lf", 2), ("lllf", 4), ("lffl", [True, False, False, True]), ("fl", [False, True, False, True])],
)
def test_which_layers_are_delta_nets(registry: Registry, pattern: str, expected: Any) -> None:
    keys = stock.keys(QWEN35, describe(registry, attention=attention(pattern), n_layers=4))
    key = "full_attention_interval" if isinstance(expected, int) else "attention.recurrent_layers"
    assert keys[f"qwen35.{key}"] == expected
    assert len([key for key in keys if key.endswith(("interval", "recurrent_layers"))]) == 1


@given(pairs=st.integers(1, 200))
def test_every_pair_turns_by_a_position_of_text(pairs: int) -> None:
    """ggml gives pair i to section i mod 3 while 3 times that section's size reaches it, else to the fourth."""
    sections = hybrid.rotary_sections(pairs)
    assert sum(sections) == pairs
    assert all(pair < 3 * sections[pair % 3] for pair in range(pairs))


@given(key_heads=st.integers(1, 4), ratio=st.integers(1, 4), width=st.sampled_from([32, 64]), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_value_heads_in_ggml_order_and_back(
    registry: Registry, key_heads: int, ratio: int, width: int, seed: int
) -> None:
    """ggml reads key head h % n_heads for value head h; ours reads h // ratio."""
    values, group = key_heads * ratio, 128
    linear = {"n_heads": key_heads, "n_value_heads": values, "head_dim": width}
    net = describe(registry, attention=attention("lf", **linear)).blocks[0].mixer
    assert isinstance(net, GatedDeltaNet)
    places = {place.file_name: place for place in hybrid.recurrence("", net)}
    marks = torch.arange(values, dtype=torch.float32)
    theirs = gather(places["ssm_dt.bias"], {net.decay_bias.name: marks})
    assert isinstance(theirs, torch.Tensor)
    assert [int(mark) // ratio for mark in theirs] == [head % key_heads for head in range(values)]
    generator = torch.Generator().manual_seed(seed)
    columns = values * width
    weight = QuantizedWeight(
        torch.randint(-1, 2, (256, columns), generator=generator, dtype=torch.int8),
        torch.rand(256, -(-columns // group), generator=generator),
        group,
    )
    place = places["ssm_out.weight"]
    moved = gather(place, {net.output.weight.name: weight})
    assert isinstance(moved, QuantizedWeight)
    expected = weight.dequantize().view(256, key_heads, ratio, width).transpose(1, 2).reshape(256, columns)
    assert torch.equal(moved.dequantize(), expected)
    (part,) = scatter(place, moved).values()
    assert isinstance(part, QuantizedWeight)
    again = regroup("output", part, group) if group % part.group_size == 0 else part
    assert torch.equal(again.codes, weight.codes) and torch.equal(again.scales, weight.scales)


@pytest.mark.parametrize(
    ("mixer", "expected"),
    [
        ({**FULL, "qk_norm": False}, r"blocks\.1\.attention does not normalise its heads \(qk_norm\); qwen35's"),
        ({**FULL, "output_gate": False}, r"blocks\.1\.attention has no output gate \(output_gate\); qwen35's"),
        ({**FULL, "window": 8}, r"blocks\.1\.attention has a sliding window"),
        ({**FULL, "qk_norm_eps": 1e-5}, "norms have different eps"),
    ],
)
def test_attention_it_lacks(registry: Registry, mixer: dict[str, Any], expected: str) -> None:
    description = describe(registry, attention={**attention("lf"), "full": mixer})
    assert best_fit(description) is QWEN35
    with pytest.raises(CannotCarry, match=expected):
        stock.placements(QWEN35, description)


@pytest.mark.parametrize(
    ("mixer", "expected"),
    [
        (LINEAR, r"blocks\.0\.attention is a delta net, as in all layers; qwen35 needs softmax attention too"),
        (FULL, r"blocks\.0\.attention has an output gate \(output_gate\), which llama\.cpp has beside delta nets only"),
    ],
)
def test_one_kind_alone_is_refused(registry: Registry, mixer: dict[str, Any], expected: str) -> None:
    with pytest.raises(CannotCarry, match=expected):
        stock.placements(QWEN35, describe(registry, attention=mixer))


def test_other_architectures_have_no_delta_nets(registry: Registry) -> None:
    with pytest.raises(CannotCarry, match=r"blocks\.0\.attention is a delta net; qwen3 has softmax attention only"):
        stock.placements(QWEN3, describe(registry, attention=attention("lf")))


def test_heads_that_no_block_fits_go_into_the_dialect(registry: Registry, tmp_path: Path) -> None:
    """Three value heads of 16 for each of two key heads: groups of 32 reach over heads that move apart."""
    _, bundle = build(registry, [{**TERNARY[0], "group_size": 32}], attention=attention("lf", head_dim=16))
    report = export(bundle, tmp_path / "x.gguf")
    assert "architecture nanochat" in report.lines[0]
    assert "blocks.0.attention.output.weight: the file has its heads of 16 in another order" in report.lines[0]
    assert compare(bundle, GgufImporter().load(tmp_path / "x.gguf", registry)).exact


def test_moved_columns_are_rounded_where_they_lie(registry: Registry, tmp_path: Path) -> None:
    """Blocks of 32 hold two heads of 16 that are no neighbours in training."""
    _, bundle = build(registry, [], attention=attention("lf", head_dim=16))
    report = export(bundle, tmp_path / "x.gguf", type="q8_0")
    assert "architecture qwen35" in report.lines[0] and "blocks.0.attention.output.weight" in report.rounded
    assert compare(bundle, GgufImporter().load(tmp_path / "x.gguf", registry), report.rounded).as_asked


@pytest.mark.parametrize("architecture", ["qwen35", "qwen35moe"])
@torch.no_grad()
def test_a_foreign_file_is_read(registry: Registry, tmp_path: Path, architecture: str) -> None:
    mixture = {"ffn": MOE} if architecture == "qwen35moe" else {}
    mixers = {**attention("fl", head_dim=64), "full": {**FULL, "rotary_dim": 8}}
    _, bundle = build(registry, TERNARY, attention=mixers, tie_embeddings=False, **mixture)
    path = tmp_path / "model.gguf"
    export(bundle, path, architecture=architecture)
    again = GgufImporter().load(rewrite(path, tmp_path / "foreign.gguf", without_our_keys), registry)
    assert again.quantizers == () and isinstance(again.tensors["blocks.1.attention.output.weight"], QuantizedWeight)
    tokens = random_tokens(1, 20, 608)
    expected = model_from_bundle(float_twin(bundle))(tokens)
    torch.testing.assert_close(model_from_bundle(again)(tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "nanochat.values.blocks.0.attention.decay_log",
            [0.0] * 6,
            "blk.0.ssm_a: differs from the key nanochat.values",
        ),
        ("nanochat.values.blocks.0.attention.decay_log", [0.0], "does not hold its values"),
        ("nanochat.values.blocks.0.attention.decay_log", "x", "does not hold its values"),
    ],
)
def test_values_that_contradict_the_tensor(
    registry: Registry, tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    _, bundle = build(registry, [], attention=attention("lf"))
    export(bundle, tmp_path / "model.gguf")
    with GgufFile(tmp_path / "model.gguf") as file:
        exact = bundle.tensors["blocks.0.attention.decay_log"]
        assert isinstance(exact, torch.Tensor)
        assert torch.equal(torch.tensor(file.keys["nanochat.values.blocks.0.attention.decay_log"]), exact)
    odd = rewrite(tmp_path / "model.gguf", tmp_path / "odd.gguf", set_key(key, value))
    with pytest.raises(UsageError, match=expected):
        GgufImporter().load(odd, registry)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "rope.dimension_sections",
            [16, 0, 0, 0],
            r"dimension_sections is \[16, 0, 0, 0\]; for text alone it is \[6, 5, 5, 0\]",
        ),
        ("attention.recurrent_layers", [True], "not one truth value for each of 2 layers"),
        ("ssm.state_size", 0, "ssm.state_size is 0"),
        ("nextn_predict_layers", 1, r"has layers that predict further tokens \(qwen35\.nextn_predict_layers\)"),
        ("rope.dimension_count", 8, r"dimension_sections is \[6, 5, 5, 0\]; for text alone it is \[2, 1, 1, 0\]"),
    ],
)
def test_foreign_keys_that_the_decoder_cannot_follow(
    registry: Registry, tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    _, bundle = build(registry, [], attention=attention("lf"))
    export(bundle, tmp_path / "model.gguf")
    change = set_key(f"qwen35.{key}", value, foreign=True)
    odd = rewrite(tmp_path / "model.gguf", tmp_path / "odd.gguf", change)
    with pytest.raises(UsageError, match=expected):
        GgufImporter().load(odd, registry)

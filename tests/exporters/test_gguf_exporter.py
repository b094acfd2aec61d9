"""The exporter: which architecture, which storage, what comes back, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from nanochat_exporters.gguf.file_reader import GgufFile
from nanochat_exporters.gguf.importer import GgufImporter
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import model_from_bundle
from nanochat_framework.inference.comparison import compare
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.plugins import Registry
from tests.exporters.gguf_files import SMALL, export, types_in
from tests.exporters.models import TERNARY, build
from tests.laws.combinations import random_tokens


@pytest.mark.parametrize(
    ("group_size", "down", "others"),
    [(256, "Q4_0", "TQ2_0"), (128, "Q4_0", "Q4_0"), ("row", "Q4_0", "TQ2_0"), ("tensor", "Q4_0", "TQ2_0")],
)
def test_every_grouping_is_exact(
    registry: Registry, tmp_path: Path, group_size: int | str, down: str, others: str
) -> None:
    ffn = {"name": "swiglu", "hidden_dim": 352}  # 11 blocks of 32, a partial last group
    _, bundle = build(registry, [{**TERNARY[0], "group_size": group_size}], ffn=ffn)
    path = tmp_path / "x.gguf"
    report = export(bundle, path)
    kinds = types_in(path)
    assert kinds["blk.0.ffn_down.weight"] == down and kinds["blk.1.attn_q.weight"] == others
    assert report.n_bytes == path.stat().st_size
    assert compare(bundle, GgufImporter().load(path, registry)).exact


def test_stock_decoders_see_the_values_that_training_used(registry: Registry, tmp_path: Path) -> None:
    _, bundle = build(registry, TERNARY, tie_embeddings=False)
    export(bundle, tmp_path / "x.gguf")
    by_name = {t.name: t for t in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    for file_name, name in (("blk.1.ffn_up", "blocks.1.ffn.up"), ("blk.0.attn_v", "blocks.0.attention.value")):
        tensor, weight = by_name[f"{file_name}.weight"], bundle.tensors[f"{name}.weight"]
        assert isinstance(weight, QuantizedWeight)
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(values, weight.dequantize().numpy())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "architecture llama: stock llama.cpp loads this file but makes no text of it, for the model has no tokenizer",
        ),
        ({"ffn": {"name": "relu2", "hidden_dim": 64}}, "architecture nanochat: .* because blocks.0.ffn is .* relu2"),
        ({"residual": {"name": "probe/two_streams"}}, "architecture nanochat: .* because TwoStreamsConfig"),
    ],
)
@torch.no_grad()
def test_auto_says_what_it_chose_and_why(
    probe_registry: Registry, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    model, bundle = build(probe_registry, [{**TERNARY[0], "group_size": 32}], **{**SMALL, **changes})
    report = export(bundle, tmp_path / "x.gguf")
    assert re.match(expected, report.lines[0])
    tokens = random_tokens(2, 20, 608)
    assert torch.equal(
        model_from_bundle(GgufImporter().load(tmp_path / "x.gguf", probe_registry))(tokens), model(tokens)
    )


@pytest.mark.parametrize(
    "attention", [{}, {"qk_norm": True, "qk_norm_affine": False}, {"qk_norm": True}], ids=["llama", "qwen3", "gains"]
)
@torch.no_grad()
def test_norms_without_gains_come_back(registry: Registry, tmp_path: Path, attention: dict[str, Any]) -> None:
    """Stock files have a gain for every norm: ones, which are no tensors of the model. Another value is no such model."""
    changes = {**SMALL, "norm": {"name": "rms", "affine": False}}
    model, bundle = build(registry, [], **{**changes, "attention": {**changes["attention"], **attention}})
    path = tmp_path / "x.gguf"
    assert "stock llama.cpp" in export(bundle, path).lines[0]
    again = GgufImporter().load(path, registry)
    assert compare(bundle, again).exact
    tokens = random_tokens(2, 20, 608)
    assert torch.equal(model_from_bundle(again)(tokens), model(tokens))
    gain = next(t for t in gguf.GGUFReader(path, "r+").tensors if t.name == "blk.0.attn_norm.weight")
    gain.data[0] = 2.0
    with pytest.raises(UsageError, match=r"blk\.0\.attn_norm\.weight scales a norm, and the model .* has no such gain"):
        GgufImporter().load(path, registry)


def test_an_architecture_can_be_demanded(registry: Registry, tmp_path: Path) -> None:
    _, llama_model = build(registry, [], **SMALL)
    assert "asked for" in export(llama_model, tmp_path / "x.gguf", architecture="nanochat").lines[0]
    assert compare(llama_model, GgufImporter().load(tmp_path / "x.gguf", registry)).exact
    _, other = build(registry, [], **{**SMALL, "ffn": {"name": "relu2", "hidden_dim": 64}})
    with pytest.raises(UsageError, match="llama cannot carry this model: blocks.0.ffn .*architecture=auto"):
        export(other, tmp_path / "y.gguf", architecture="llama")
    assert not (tmp_path / "y.gguf").exists()


def test_what_blocks_cannot_hold_names_the_tensor(registry: Registry, tmp_path: Path) -> None:
    _, bundle = build(registry, TERNARY, **{**SMALL, "ffn": {"name": "swiglu", "hidden_dim": 40}})
    with pytest.raises(UsageError, match="blocks.0.ffn.down.weight: .*multiple of 32 input features.* 40"):
        export(bundle, tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"embedding_type": "f16"}, {"embedding.weight": "F16"}),
        ({"head_type": "q6_k", "embedding_type": "q4_0"}, {"embedding.weight": "Q4_0", "head.weight": "Q6_K"}),
        ({"type": "bf16", "head_type": "f32"}, {"embedding.weight": "BF16"}),
        ({"type": "q8_0"}, {"embedding.weight": "Q8_0", "head.weight": "Q8_0"}),
    ],
)
def test_tables_are_rounded_as_asked_and_it_says_so(
    registry: Registry, tmp_path: Path, options: dict[str, Any], expected: dict[str, str]
) -> None:
    _, bundle = build(registry, TERNARY, tie_embeddings=False)
    report = export(bundle, tmp_path / "x.gguf", **options)
    assert {name: rounding.type_name for name, rounding in report.rounded.items()} == expected
    for kind in expected.values():
        assert any(line.startswith(f"rounded to {kind} as asked: ") for line in report.lines)
    again = GgufImporter().load(tmp_path / "x.gguf", registry)
    result = compare(bundle, again, report.rounded)
    assert result.rounded_floats == expected and not result.changed_floats
    assert result.as_asked and not result.exact and result.logits < 0.1
    assert set(compare(bundle, again).changed_floats) == set(expected), "what nobody asked for is a change"


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("changes", [{}, {"ffn": {"name": "relu2", "hidden_dim": 64}}], ids=["llama", "nanochat"])
def test_plain_models_in_one_type(registry: Registry, tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    """Every matrix in the type asked for, norms in F32; the values are those that the gguf package decodes."""
    _, bundle = build(registry, [], **{**SMALL, **changes})
    report = export(bundle, tmp_path / "x.gguf", type=kind)
    with GgufFile(tmp_path / "x.gguf") as file:
        assert {(len(t.shape), t.type_name) for t in file.tensors.values()} == {(2, kind.upper()), (1, "F32")}
    again = GgufImporter().load(tmp_path / "x.gguf", registry)
    result = compare(bundle, again, report.rounded)
    assert result.as_asked and result.exact == (kind == "f32")
    by_name = {t.name: t for t in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    file_name = "token_embd.weight" if "token_embd.weight" in by_name else "embedding.weight"
    values = gguf.quants.dequantize(by_name[file_name].data, by_name[file_name].tensor_type)
    table = again.tensors["embedding.weight"]
    assert isinstance(table, torch.Tensor)
    np.testing.assert_array_equal(values, table.numpy())


@pytest.mark.parametrize(("kind", "bits"), [("tq2_0", "2.062"), ("tq1_0", "1.688"), ("q4_0", "4.5")])
def test_ternary_weights_in_every_type(registry: Registry, tmp_path: Path, kind: str, bits: str) -> None:
    _, bundle = build(registry, TERNARY)
    report = export(bundle, tmp_path / "x.gguf", ternary_type=kind)
    assert any(line.startswith(f"{kind.upper()}: 14 tensors") and f"{bits} bits" in line for line in report.lines)
    assert compare(bundle, GgufImporter().load(tmp_path / "x.gguf", registry)).exact


def test_ternary_weights_that_the_type_cannot_hold(registry: Registry, tmp_path: Path) -> None:
    _, bundle = build(registry, TERNARY, ffn={"name": "swiglu", "hidden_dim": 352})
    report = export(bundle, tmp_path / "x.gguf", ternary_type="tq1_0")
    assert "not in TQ1_0: blocks.0.ffn.down.weight, which goes into Q4_0" in report.lines
    assert types_in(tmp_path / "x.gguf")["blk.0.ffn_up.weight"] == "TQ1_0"


@pytest.mark.parametrize(
    ("quantizers", "options", "expected"),
    [
        (TERNARY, {"head_type": "f16", "embedding_type": "f32"}, "head_type=f16: the head of this model is its embed"),
        ([], {"ternary_type": "tq1_0"}, "ternary_type=tq1_0: no weight of this model is ternary"),
        (
            [{**TERNARY[0], "group_size": 128}],
            {"ternary_type": "tq2_0"},
            "ternary_type=tq2_0: the type holds none of this model's ternary weights",
        ),
    ],
)
def test_options_without_effect_are_refused(
    registry: Registry, tmp_path: Path, quantizers: list[dict[str, Any]], options: dict[str, str], expected: str
) -> None:
    _, bundle = build(registry, quantizers)
    with pytest.raises(UsageError, match=expected):
        export(bundle, tmp_path / "x.gguf", **options)


def test_rows_that_blocks_do_not_fit_are_refused(registry: Registry, tmp_path: Path) -> None:
    _, bundle = build(registry, [], **SMALL)
    with pytest.raises(UsageError, match="embedding.weight: Q6_K needs rows of a multiple of 256 .* have 32"):
        export(bundle, tmp_path / "x.gguf", embedding_type="q6_k")


def test_comparison_sees_one_changed_bit(registry: Registry) -> None:
    _, bundle = build(registry, TERNARY)
    weight, norm = bundle.tensors["blocks.0.ffn.up.weight"], bundle.tensors["final_norm.weight"]
    assert isinstance(weight, QuantizedWeight) and isinstance(norm, torch.Tensor)
    codes, scales, gains = weight.codes.clone(), weight.scales.clone(), norm.clone()
    codes[0, 0] = 1 - codes[0, 0].abs()
    scales.view(torch.int32)[0, 0] ^= 1 << 13
    gains.view(torch.int32)[0] ^= 1
    changed: dict[str, tuple[str, torch.Tensor | QuantizedWeight]] = {
        "changed_codes": ("blocks.0.ffn.up.weight", QuantizedWeight(codes, weight.scales, 256)),
        "changed_scales": ("blocks.0.ffn.up.weight", QuantizedWeight(weight.codes, scales, 256)),
        "changed_floats": ("final_norm.weight", gains),
    }
    for field, (name, tensor) in changed.items():
        result = compare(bundle, replace(bundle, tensors={**bundle.tensors, name: tensor}))
        assert getattr(result, field) == (name,) and not result.exact and not result.as_asked


def test_facts_are_keys_and_come_back(registry: Registry, tmp_path: Path) -> None:
    _, bundle = build(registry, [], **SMALL)
    bundle = replace(bundle, metadata={"name": "first", "step": 7, "tokens": 2**33, "license": "MIT"})
    export(bundle, tmp_path / "x.gguf")
    again = GgufImporter().load(tmp_path / "x.gguf", registry)
    assert again.metadata == {**bundle.metadata, "architecture": "llama"}
    assert again.tokenizer is None
    with GgufFile(tmp_path / "x.gguf") as file:
        assert file.keys["tokenizer.ggml.model"] == "none" and file.keys["general.file_type"] == 0
    export(bundle, tmp_path / "y.gguf", model_name="other", license="Apache-2.0")
    assert GgufImporter().load(tmp_path / "y.gguf", registry).metadata["license"] == "Apache-2.0"

"""Gated DeltaNet against transformers' Qwen3.5 layer; where hybrids put it."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from nanochat_attention.deltanet import GatedDeltaNet, build_deltanet
from nanochat_attention.deltanet_config import DeltaNetConfig
from nanochat_attention.hybrid import HybridConfig, linear_layers
from nanochat_framework.model.describe import Place
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.state import new_positions
from nanochat_framework.plugins import Registry

PLACE = Place("blocks.0.attention.", dim=32, n_layers=4, max_seq_len=128, layer=0)


def _x(seq: int) -> Tensor:
    return torch.randn(2, seq, 32, generator=torch.Generator().manual_seed(1))


def _drawn(n_heads: int, n_value_heads: int) -> GatedDeltaNet:
    torch.manual_seed(0)
    ours = build_deltanet(DeltaNetConfig(n_heads=n_heads, n_value_heads=n_value_heads, head_dim=8), place=PLACE)
    with torch.no_grad():
        ours.norm.uniform_(0.5, 1.5)
    return ours


@pytest.mark.parametrize(("n_heads", "n_value_heads"), [(2, 2), (2, 4)])
@pytest.mark.parametrize("seq", [1, 5, 70])
def test_it_is_transformers_qwen35_layer(n_heads: int, n_value_heads: int, seq: int) -> None:
    qwen = pytest.importorskip("transformers.models.qwen3_5", reason="transformers is the reference of this test")
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5GatedDeltaNet

    config = qwen.Qwen3_5TextConfig(
        hidden_size=32,
        num_hidden_layers=4,
        linear_num_key_heads=n_heads,
        linear_num_value_heads=n_value_heads,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_conv_kernel_dim=4,
        rms_norm_eps=1e-6,
    )
    ours, theirs = _drawn(n_heads, n_value_heads), Qwen3_5GatedDeltaNet(config, 0)
    with torch.no_grad():
        theirs.in_proj_qkv.weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_z.weight.copy_(ours.gate.weight)
        theirs.in_proj_b.weight.copy_(ours.beta.weight)
        theirs.in_proj_a.weight.copy_(ours.decay.weight)
        theirs.conv1d.weight.copy_(ours.convolution[:, None])
        theirs.A_log.copy_(ours.decay_log)
        theirs.dt_bias.copy_(ours.decay_bias)
        theirs.norm.weight.copy_(ours.norm)
        theirs.out_proj.weight.copy_(ours.output.weight)
        x = _x(seq)
        expected = theirs(x)
        torch.testing.assert_close(ours(x, new_positions(0, seq, x.device)), expected, rtol=1e-4, atol=1e-5)


def test_documents_in_one_row_give_what_each_gives_alone() -> None:
    ours, x = _drawn(2, 4), _x(90)
    lengths = [[1, 30, 59], [64, 2, 24]]
    ids = torch.stack([torch.repeat_interleave(torch.arange(3), torch.tensor(row)) for row in lengths])
    documents = Documents(ids)
    with torch.no_grad():
        together = ours(x, documents.positions, documents=documents)
        for row, sizes in enumerate(lengths):
            start = 0
            for size in sizes:
                alone = ours(x[row : row + 1, start : start + size], new_positions(0, size, x.device))
                torch.testing.assert_close(together[row : row + 1, start : start + size], alone, rtol=1e-4, atol=1e-5)
                start += size


@pytest.mark.parametrize(
    ("n_layers", "ratio", "expected"),
    [(20, 0.2, {2, 7, 12, 17}), (28, 0.3, {1, 5, 8, 12, 15, 19, 22, 26}), (4, 0.0, set()), (3, 1.0, {0, 1, 2})],
)
def test_bin_centres(n_layers: int, ratio: float, expected: set[int]) -> None:
    """Golden values of the earlier system."""
    assert linear_layers(n_layers, ratio) == expected


def _hybrid(registry: Registry, **settings: object) -> HybridConfig:
    gqa = {"name": "gqa", "n_heads": 4, "n_kv_heads": 2, "head_dim": 8}
    linear = {"name": "deltanet", "n_heads": 2, "head_dim": 8}
    return HybridConfig.model_validate({"full": gqa, "linear": linear, **settings}, context={"registry": registry})


def test_patterns_repeat(registry: Registry) -> None:
    config = _hybrid(registry, pattern=["linear", "linear", "full"])
    kinds = [config.kind(Place("", 32, 7, 64, layer)) for layer in range(7)]
    assert kinds == ["linear", "linear", "full", "linear", "linear", "full", "linear"]


@pytest.mark.parametrize("settings", [{}, {"linear_ratio": 0.5, "pattern": ["full"]}, {"linear_ratio": 1.5}])
def test_one_rule_must_be_given(registry: Registry, settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _hybrid(registry, **settings)

"""Codes and scales of 4 and 8 bits are GGUF's Q4_0 and Q8_0, by gguf's own reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize as gguf_quantize

from tests.quantizers.support import CONFIGS, quantize

Q4_0, Q8_0 = GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q8_0


def _blocks(weight: Any, kind: GGMLQuantizationType) -> Any:
    """Blocks of 32 as ggml-common.h lays them out, written here by hand."""
    rows = weight.codes.reshape(-1, 32).numpy()
    group = min(weight.group_size, weight.shape[1])
    scales = weight.scales.repeat_interleave(group // 32, dim=1).reshape(-1, 1).numpy().astype("<f2").view(np.uint8)
    if kind == Q8_0:
        return np.concatenate([scales, rows.view(np.uint8)], axis=1)
    nibbles = (rows + 8).astype(np.uint8)
    return np.concatenate([scales, nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, Q8_0 if name.startswith("int8") else Q4_0)
        for name in CONFIGS
        if name[:4] in ("int4", "int8") and "96" not in name
    ],
)
def test_every_group_is_blocks_bit_for_bit(name: str, kind: GGMLQuantizationType) -> None:
    weight = torch.randn(12, 512, generator=torch.Generator().manual_seed(0))
    weight[3] = 0.0
    quantized = quantize(CONFIGS[name], weight)
    values = gguf_dequantize(_blocks(quantized, kind), kind).reshape(12, 512)
    assert np.array_equal(values, quantized.dequantize().numpy())


def test_int8_in_groups_of_32_is_what_ggml_makes_but_for_ties_and_the_rounding_of_scales() -> None:
    """ggml divides by the scale before it is rounded to float16: at most one code in hundreds differs, by one."""
    weight = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    theirs = gguf_quantize(weight.numpy(), Q8_0).reshape(-1, 34)
    ours = quantize(CONFIGS["int8-32"], weight)
    scales = np.ascontiguousarray(theirs[:, :2]).view("<f2")[:, 0].astype(np.float32)
    assert np.array_equal(scales, ours.scales.flatten().numpy())
    apart = np.abs(theirs[:, 2:].view(np.int8).astype(int) - ours.codes.reshape(-1, 32).numpy())
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.03

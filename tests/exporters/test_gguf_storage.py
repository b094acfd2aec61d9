"""The choice of storage, and that nothing is changed by it."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat_exporters.gguf.storage import choose_block_type, regroup, restore_quantized, store_float, store_quantized
from nanochat_framework.errors import UsageError
from nanochat_framework.model.quantized import QuantizedWeight


def quantized(in_features: int, group_size: int, *, largest: int = 1, rows: int = 4, seed: int = 0) -> QuantizedWeight:
    """Random codes from -largest to largest, random float16 scales."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-largest, largest + 1, (rows, in_features), generator=generator, dtype=torch.int8)
    codes[0, 0], codes[0, 1] = largest, -largest
    n_groups = -(-in_features // group_size)
    scales = torch.rand((rows, n_groups), generator=generator).half().float()
    return QuantizedWeight(codes, scales, group_size)


@pytest.mark.parametrize(
    ("in_features", "group_size", "largest", "expected"),
    [
        (512, 256, 1, "TQ2_0"),
        (512, 512, 1, "TQ2_0"),
        (512, 1024, 1, "TQ2_0"),  # one scale a row
        (768, 512, 1, "TQ2_0"),  # a partial last group of whole blocks
        (512, 128, 1, "Q4_0"),
        (2688, 128, 1, "Q4_0"),
        (96, 32, 1, "Q4_0"),
        (96, 1024, 1, "Q4_0"),
        (160, 64, 1, "Q4_0"),  # a partial last group of 32
        (512, 256, 7, "Q4_0"),
        (512, 256, 127, "Q8_0"),
    ],
)
def test_smallest_type_that_is_exact(in_features: int, group_size: int, largest: int, expected: str) -> None:
    weight = quantized(in_features, group_size, largest=largest)
    stored = store_quantized("w", weight)
    assert stored.type_name == expected == choose_block_type("w", weight).name
    values = gguf.quants.dequantize(stored.data, gguf.GGMLQuantizationType[expected])
    np.testing.assert_array_equal(values, weight.dequantize().numpy())


@given(
    blocks=st.integers(1, 12),
    group=st.sampled_from([32, 64, 96, 128, 256, 512, 1024]),
    largest=st.sampled_from([1, 7, 127]),
    seed=st.integers(0, 10_000),
    wanted=st.sampled_from([None, "TQ1_0", "TQ2_0", "Q4_0", "Q8_0"]),
)
@settings(max_examples=60, deadline=None)
def test_codes_and_scales_come_back_bit_for_bit(
    blocks: int, group: int, largest: int, seed: int, wanted: str | None
) -> None:
    weight = quantized(32 * blocks, group, largest=largest, seed=seed)
    again = regroup("w", restore_quantized(store_quantized("w", weight, wanted)), group)
    assert torch.equal(again.codes, weight.codes)
    assert torch.equal(again.scales.view(torch.int32), weight.scales.view(torch.int32))
    assert again.group_size == weight.group_size


@pytest.mark.parametrize(
    ("in_features", "group_size", "expected"),
    [
        (100, 100, "blocks.3.ffn.down.weight.*multiple of 32 input features.*100"),
        (96, 48, "blocks.3.ffn.down.weight.*groups of 48.*multiple of 32"),
    ],
)
def test_what_no_type_holds_is_refused_with_the_remedy(in_features: int, group_size: int, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        store_quantized("blocks.3.ffn.down.weight", quantized(in_features, group_size))


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.1, "not float16 values"), (1e6, "not float16"), (float("nan"), "finite")]
)
def test_scales_that_would_change_are_refused(scale: float, expected: str) -> None:
    weight = QuantizedWeight(torch.ones(1, 256, dtype=torch.int8), torch.tensor([[scale]]), 256)
    with pytest.raises(UsageError, match=f"w: .*{expected}"):
        store_quantized("w", weight)


def test_blocks_of_a_group_must_agree() -> None:
    stored = store_quantized("w", quantized(512, 256))
    with pytest.raises(UsageError, match="w: the scales inside a group of 512 differ"):
        regroup("w", restore_quantized(stored), 512)


def test_floats_keep_every_bit_unless_asked() -> None:
    values = torch.randn(3, 5)
    assert np.array_equal(store_float("e", values).data, values.numpy())
    half = store_float("e", values, "F16")
    assert half.type_name == "F16" and np.array_equal(half.data, values.half().numpy())
    with pytest.raises(UsageError, match="e: .*1e\\+06, beyond the range of F16; store it as f32"):
        store_float("e", torch.tensor([[1e6]]), "F16")

"""acme/widget against torch's own simulation of rounded weights."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.plugins import load_plugins


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_values_are_those_of_torch(bits: int) -> None:
    """torch.fake_quantize_per_channel_affine, a channel for each group, with the same scales."""
    component = load_plugins().registry.get("quantizer", "acme/widget")
    quantizer = component.load_factory()(component.config_class()(bits=bits, group_size=32))
    weight = torch.randn(6, 96, generator=torch.Generator().manual_seed(0))
    quantized = quantizer.quantize(weight)
    scales, largest = quantized.scales.flatten(), 2 ** (bits - 1) - 1
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight.view(-1, 32), scales, zeros, 0, -largest, largest)
    torch.testing.assert_close(quantized.dequantize(), expected.view(6, 96))

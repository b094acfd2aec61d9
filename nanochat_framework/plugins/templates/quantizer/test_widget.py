"""acme/widget: no other scale fits the signs better."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.plugins import load_plugins


@pytest.mark.parametrize("columns", [64, 80])
def test_scales_are_those_of_least_squares(columns: int) -> None:
    """torch's least squares, a group at a time, gives the same scales to float16's accuracy."""
    component = load_plugins().registry.get("quantizer", "acme/widget")
    quantizer = component.load_factory()(component.config_class()(group_size=32))
    weight = torch.randn(3, columns, generator=torch.Generator().manual_seed(0))
    quantized = quantizer.quantize(weight)
    for row in range(3):
        for group, part in enumerate(torch.split(weight[row], 32)):
            best = torch.linalg.lstsq(part.sign()[:, None], part[:, None]).solution.item()
            assert quantized.scales[row, group].item() == pytest.approx(best, rel=2**-11)

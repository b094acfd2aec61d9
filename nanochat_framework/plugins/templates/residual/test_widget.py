"""acme/widget is a weighted sum."""

from __future__ import annotations

import torch

from nanochat_framework.model.describe import Place
from nanochat_framework.plugins import load_plugins


def test_a_weighted_sum() -> None:
    """Three outputs with three strengths."""
    component = load_plugins().registry.get("residual", "acme/widget")
    place = Place("residual.", dim=4, n_layers=2, max_seq_len=8)
    residual = component.load_factory()(component.config_class()(), place=place)
    with torch.no_grad():
        residual.strength.copy_(torch.tensor([0.5, 2.0, -1.0, 9.0]))
    x, *outputs = torch.randn(4, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    state = residual.open(x)
    for sublayer, y in enumerate(outputs):
        state = residual.write(state, y, sublayer)
    torch.testing.assert_close(residual.close(state), x + 0.5 * outputs[0] + 2 * outputs[1] - outputs[2])

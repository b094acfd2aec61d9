"""acme/widget against torch's modules in a row."""

from __future__ import annotations

import torch
from torch import nn

from nanochat_framework.model.describe import Place
from nanochat_framework.plugins import load_plugins


def test_as_torch_modules_in_a_row() -> None:
    """The same weights give the same output."""
    component = load_plugins().registry.get("ffn", "acme/widget")
    place = Place("blocks.0.ffn.", dim=16, n_layers=2, max_seq_len=8, layer=0)
    ours = component.load_factory()(component.config_class()(hidden_dim=24), place=place)
    up, down = nn.Linear(16, 24, bias=False), nn.Linear(24, 16, bias=False)
    up.weight, down.weight = ours.up.weight, ours.down.weight
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), nn.Sequential(up, nn.GELU(), down)(x))

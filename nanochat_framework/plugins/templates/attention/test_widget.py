"""acme/widget averages what its definition says."""

from __future__ import annotations

import torch
from torch.nn import functional

from nanochat_framework.model.describe import Place
from nanochat_framework.plugins import load_plugins


def test_the_definition_one_position_at_a_time() -> None:
    """Each position by itself, from the values of those up to it."""
    component = load_plugins().registry.get("attention", "acme/widget")
    place = Place("blocks.0.attention.", dim=8, n_layers=2, max_seq_len=16, layer=0)
    mixer = component.load_factory()(component.config_class()(inner_dim=12), place=place)
    x = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(0))
    found = mixer(x, torch.arange(7))
    for t in range(7):
        mean = (x[:, : t + 1] @ mixer.value.weight.T).mean(dim=1)
        gate = functional.silu(x[:, t] @ mixer.gate.weight.T)
        torch.testing.assert_close(found[:, t], (gate * mean) @ mixer.output.weight.T)

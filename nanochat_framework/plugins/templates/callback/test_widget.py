"""acme/widget measures what torch measures."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.model.linear import Linear
from nanochat_framework.plugins import load_plugins


def test_norms_are_torchs() -> None:
    """The norm of all weights of a role is that of one long vector."""
    component = load_plugins().registry.get("callback", "acme/widget")
    callback = component.load_factory()(component.config_class()())
    layers = [Linear(8, 4), Linear(4, 4), Linear(4, 2, role="head")]
    norms = callback.measure(torch.nn.Sequential(*layers))
    together = torch.cat([layers[0].weight.flatten(), layers[1].weight.flatten()])
    assert norms["matrix"] == pytest.approx(torch.linalg.vector_norm(together).item())
    assert norms["head"] == pytest.approx(torch.linalg.matrix_norm(layers[2].weight).item())

"""acme/widget counts as numpy does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nanochat_framework.errors import UsageError
from nanochat_framework.model.linear import Linear
from nanochat_framework.plugins import load_plugins


def test_zeros_are_counted() -> None:
    """Five zeros in two matrices; a role that nothing has is one clear line."""
    registry = load_plugins().registry
    component = registry.get("evaluation", "acme/widget")
    layers = [Linear(8, 4), Linear(4, 4)]
    model = torch.nn.Sequential(*layers)
    with torch.no_grad():
        layers[0].weight.view(-1)[:5] = 0.0
    scores = component.load_factory()(component.config_class()()).run(SimpleNamespace(model=model))
    weights = np.concatenate([layer.weight.detach().numpy().ravel() for layer in layers])
    share = np.count_nonzero(weights == 0) / weights.size
    assert scores["eval/zero_weights"].value == pytest.approx(100 * share)
    with pytest.raises(UsageError, match="no parameters of role 'conv'"):
        component.load_factory()(component.config_class()(role="conv")).run(SimpleNamespace(model=model))

"""acme/widget: mean 0 and variance 1, by numpy."""

from __future__ import annotations

import numpy as np
import torch

from nanochat_framework.model.describe import Place
from nanochat_framework.plugins import load_plugins


def test_mean_and_variance() -> None:
    """What comes out has mean 0 and variance 1 along the channels, and is a shifted and scaled copy of what went in."""
    component = load_plugins().registry.get("norm", "acme/widget")
    norm = component.load_factory()(component.config_class()(), place=Place("", dim=64, n_layers=1, max_seq_len=8))
    x = 3 + 5 * torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    given, found = x.double().numpy(), norm(x).detach().double().numpy()
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(found.var(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, (given - given.mean(1, keepdims=True)) / given.std(1, keepdims=True), rtol=1e-4)

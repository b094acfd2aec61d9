"""acme/widget drops what its setting says."""

from __future__ import annotations

import math

import torch

from nanochat_framework.plugins import load_plugins


def test_what_is_dropped() -> None:
    """Above the limit only; infinity is above it, and NaN is kept for the trainer to see."""
    component = load_plugins().registry.get("token_filter", "acme/widget")
    kept = component.load_factory()(component.config_class()(largest_loss=2.0))
    losses = torch.tensor([0.0, 2.0, 2.1, math.inf, math.nan])
    assert kept.keep(losses).tolist() == [True, True, False, False, True]

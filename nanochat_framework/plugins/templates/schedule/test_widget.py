"""acme/widget against torch's StepLR."""

from __future__ import annotations

import pytest
import torch

from nanochat_framework.plugins import load_plugins


def test_as_torch_does_it() -> None:
    """120 steps with three falls are StepLR with 30 steps at each height."""
    component = load_plugins().registry.get("schedule", "acme/widget")
    schedule = component.load_factory()(component.config_class()(n_drops=3, factor=0.3), total_steps=120)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.3)
    for step in range(1, 121):
        assert schedule.multiplier(step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert schedule.multiplier(1000) == schedule.multiplier(120)

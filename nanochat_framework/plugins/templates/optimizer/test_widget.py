"""acme/widget against torch's own SGD."""

from __future__ import annotations

import torch
from torch import nn

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_framework.plugins import load_plugins


def test_ten_steps_as_torch_does_them() -> None:
    """The same gradients give the same weights."""
    component = load_plugins().registry.get("optimizer", "acme/widget")
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(5, 3, generator=generator)
    ours, theirs = nn.Parameter(first.clone()), nn.Parameter(first.clone())
    parameters = [NamedParameter("w", "matrix", ours)]
    optimizer = component.load_factory()(component.config_class()(), parameters=parameters)
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    for _ in range(10):
        gradient = torch.randn(5, 3, generator=generator)
        ours.grad, theirs.grad = gradient, gradient.clone()
        optimizer.step({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0})
        reference.step()
    torch.testing.assert_close(ours, theirs)

"""acme/widget: the gradient that calculus gives."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from nanochat_framework.plugins import load_plugins


def test_value_and_gradient() -> None:
    """(mean z)² has the gradient 2 · mean z / n in every logit; rows without a target count for nothing."""
    component = load_plugins().registry.get("objective", "acme/widget")
    term = component.load_factory()(component.config_class()(), model=None)
    logits = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([4, -100, 7])
    value = term.terms(SimpleNamespace(logits=logits, targets=targets), None)
    value.backward()
    means = logits.detach().mean(dim=1) * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(value.detach(), means.square().sum())
    torch.testing.assert_close(logits.grad, (2 * means / 10)[:, None].expand(3, 10))
    assert term.count(targets[None]).item() == 2

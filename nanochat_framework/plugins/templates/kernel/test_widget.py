"""rms_norm/acme_widget is what a model gets."""

from __future__ import annotations

import torch

from nanochat_framework.kernels.table import KernelTable
from nanochat_framework.plugins import load_plugins


def test_it_is_chosen_and_agrees() -> None:
    """It has the highest priority, and gives what the naive operation gives, forward and backward."""
    choice = KernelTable(load_plugins().registry).choose("rms_norm")
    assert choice.implementation == "acme_widget"
    naive = KernelTable().choose("rms_norm")
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(32, generator=generator).add_(0.5).requires_grad_()
    x = torch.randn(4, 6, 32, generator=generator, requires_grad=True)
    gradient = torch.randn(4, 6, 32, generator=generator)
    found = [torch.autograd.grad(which.call(x, weight, 1e-6), (x, weight), gradient) for which in (choice, naive)]
    torch.testing.assert_close(choice.call(x, weight, 1e-6), naive.call(x, weight, 1e-6))
    torch.testing.assert_close(*found)

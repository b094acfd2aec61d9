"""Numbers for the laws, and comparisons that say in one line where two tensors differ."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal float32 numbers, the same for one seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def away_from_the_start(module: ModuleT) -> ModuleT:
    """The module with every parameter moved at random: weights that start at zero, or equal, would hide mistakes."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            width = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter) * width**-0.5)
    return module


def expect_close(found: Tensor, expected: Tensor, what: str, *, tolerance: float = 1e-4) -> None:
    """Raise AssertionError unless every difference is below `tolerance` times the largest expected magnitude."""
    assert found.shape == expected.shape, f"{what}: the shape is {tuple(found.shape)}, not {tuple(expected.shape)}"
    assert bool(found.isfinite().all()), f"{what}: not every number is finite"
    if not found.numel():
        return
    difference = (found.float() - expected.float()).abs()
    largest = float(expected.float().abs().max())
    where = tuple(torch.unravel_index(difference.argmax(), difference.shape))
    assert float(difference.max()) <= tolerance * max(largest, 1e-6), (
        f"{what}: differs by {float(difference.max()):.3g} at {tuple(map(int, where))}, where numbers reach {largest:.3g}"
    )


def expect_gradients(module: nn.Module, output: Tensor, *inputs: Tensor) -> None:
    """Raise AssertionError unless a random combination of the output moves every trainable parameter and every input."""
    loss = (output.float() * normal(*output.shape, seed=99)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:  # moved by its own module (`model.step_counts`)
            continue
        gradient = parameter.grad
        assert gradient is not None, f"the parameter {name} gets no gradient: nothing that is computed depends on it"
        assert bool(gradient.isfinite().all()), f"the gradient of {name} is not finite"
        assert bool(gradient.any()), f"the gradient of {name} is zero everywhere: it will never be trained"
    for number, tensor in enumerate(inputs):
        assert tensor.grad is not None and bool(tensor.grad.any()), f"no gradient goes back to input {number}"

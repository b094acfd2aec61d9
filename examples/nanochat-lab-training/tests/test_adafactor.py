"""lab/adafactor against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nanochat_framework.contracts.optimizer import NamedParameter
from nanochat_lab_training.adafactor import build_adafactor
from nanochat_lab_training.config import AdafactorConfig

SHAPES = {"matrix": (6, 10), "experts": (3, 4, 5), "gains": (7,)}


def _pair(shape: tuple[int, ...]) -> tuple[nn.Parameter, nn.Parameter]:
    first = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return nn.Parameter(first.clone()), nn.Parameter(first.clone())


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_torchs(decay: float) -> None:
    """Thirty updates of a matrix, a stack of matrices and a vector."""
    pairs = {name: _pair(shape) for name, shape in SHAPES.items()}
    ours = build_adafactor(
        AdafactorConfig(), parameters=[NamedParameter(n, "matrix", a) for n, (a, _) in pairs.items()]
    )
    theirs = torch.optim.Adafactor([b for _, b in pairs.values()], lr=0.05, weight_decay=decay)
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        for a, b in pairs.values():
            a.grad = torch.randn(a.shape, generator=generator) * torch.logspace(-3, 1, a.shape[-1])
            b.grad = a.grad.clone()
        ours.step({"lr": 0.05, "weight_decay": decay})
        theirs.step()
    for a, b in pairs.values():
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_plan_counts_what_there_is() -> None:
    """`state_bytes` is the size of the state."""
    parameters = [NamedParameter(name, "matrix", nn.Parameter(torch.zeros(s))) for name, s in SHAPES.items()]
    state = build_adafactor(AdafactorConfig(), parameters=parameters).state()
    held = sum(tensor.nbytes for slots in state.values() for tensor in slots.values())
    assert AdafactorConfig().state_bytes(list(SHAPES.values())) == held

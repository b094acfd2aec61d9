"""The z-loss against autograd on the whole logits, in chunks as the trainer computes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.objective import HeadChunk
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.training.train_module import TrainModule, build_objectives

Make = Callable[..., RunConfig]
WEIGHT = 0.3


@pytest.fixture
def module(tiny_config: Make) -> TrainModule:
    config = tiny_config(quantizer=[], objective=[{"name": "z_loss", "weight": WEIGHT}], train__loss_chunk=7)
    return TrainModule(config, torch.device("cpu"))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets (4, 9), some of which count for nothing, one chunk of them altogether."""
    generator = torch.Generator().manual_seed(0)
    tokens, targets = torch.randint(97, (2, 4, 9), generator=generator)
    targets[0, 2:] = IGNORED_TARGET
    targets[1] = IGNORED_TARGET
    targets[3, 5] = IGNORED_TARGET
    return tokens, targets


def test_loss_and_gradients_equal_those_of_the_whole_logits(
    module: TrainModule, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    tokens, targets = batch
    valid = targets != IGNORED_TARGET
    logits = module.model(tokens)[valid]
    log_z = logits.exp().sum(dim=-1).log()
    cross_entropy = (log_z - logits.gather(1, targets[valid][:, None])[:, 0]).mean()
    expected = (cross_entropy, log_z.square().mean())
    parameters = [p.tensor for p in module.parameters]
    wanted = torch.autograd.grad(expected[0] + WEIGHT * expected[1], parameters)

    counts = {name: float(count) for name, count in module.head_loss.counts(targets).items()}
    assert counts == {"loss": float(valid.sum()), "z_loss": float(valid.sum())}
    sums = module.head_loss.backward(module.model.hidden(tokens), targets, counts)
    torch.testing.assert_close(sums["z_loss"] / counts["z_loss"], expected[1].detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(sums["loss"] / counts["loss"], expected[0].detach(), rtol=1e-5, atol=0)
    for parameter, gradient in zip(module.parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.tensor.grad, gradient, rtol=1e-4, atol=1e-7, msg=parameter.name)


def test_rows_without_a_target_count_for_nothing(module: TrainModule) -> None:
    """Not even where their logits are not finite."""
    objective = module.objectives["z_loss"]
    logits = torch.tensor([[0.0, 0.0], [float("inf"), 0.0], [1.0, 1.0]], requires_grad=True)
    targets = torch.tensor([0, IGNORED_TARGET, 1])
    terms = objective.terms(HeadChunk(torch.zeros(3, 1), logits, targets, 0, targets[None]), module.model)
    log_2 = torch.tensor(2.0).log()
    torch.testing.assert_close(terms, log_2**2 + (1 + log_2) ** 2)
    assert objective.count(targets[None]) == 2


def test_the_weight_is_the_configured_one(tiny_config: Make, module: TrainModule) -> None:
    assert module.objectives["z_loss"].weight == WEIGHT
    assert build_objectives(tiny_config(objective=["z_loss"]), module.model)["z_loss"].weight == 1e-4

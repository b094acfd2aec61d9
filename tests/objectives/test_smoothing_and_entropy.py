"""Label smoothing and entropy against torch's own functions on the whole logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Categorical
from torch.nn import functional

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import IGNORED_TARGET
from nanochat_framework.training.train_module import TrainModule

Make = Callable[..., RunConfig]


def _targets() -> tuple[torch.Tensor, torch.Tensor]:
    tokens, targets = torch.randint(97, (2, 4, 9), generator=torch.Generator().manual_seed(0))
    targets[0, 2:] = IGNORED_TARGET
    targets[3, 5] = IGNORED_TARGET
    return tokens, targets


def _module(tiny_config: Make, name: str, weight: float) -> TrainModule:
    objective = [{"name": name, "weight": weight}]
    return TrainModule(tiny_config(quantizer=[], objective=objective, train__loss_chunk=7), torch.device("cpu"))


def _losses_and_gradients(module: TrainModule) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
    """Mean of each term, and the gradients that the chunked pass leaves."""
    tokens, targets = _targets()
    counts = {name: float(count) for name, count in module.head_loss.counts(targets).items()}
    sums = module.head_loss.backward(module.model.hidden(tokens), targets, counts)
    return {name: value / counts[name] for name, value in sums.items()}, [p.tensor.grad for p in module.parameters]


@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_smoothing_is_torchs_and_leaves_the_reported_loss_plain(tiny_config: Make, epsilon: float) -> None:
    module = _module(tiny_config, "label_smoothing", epsilon)
    tokens, targets = _targets()
    logits = module.model(tokens).flatten(0, 1)
    smoothed = functional.cross_entropy(logits, targets.flatten(), label_smoothing=epsilon)
    plain = functional.cross_entropy(logits, targets.flatten()).detach()
    wanted = torch.autograd.grad(smoothed, [p.tensor for p in module.parameters])
    means, gradients = _losses_and_gradients(module)
    torch.testing.assert_close(means["loss"], plain)
    torch.testing.assert_close(means["loss"] + epsilon * means["label_smoothing"], smoothed.detach())
    for parameter, gradient, expected in zip(module.parameters, gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7, msg=parameter.name)


@pytest.mark.parametrize("weight", [-0.01, 0.0, 0.3])
def test_entropy_is_torchs(tiny_config: Make, weight: float) -> None:
    module = _module(tiny_config, "entropy", weight)
    tokens, targets = _targets()
    logits = module.model(tokens).flatten(0, 1)
    valid = targets.flatten() != IGNORED_TARGET
    entropy = Categorical(logits=logits[valid]).entropy().mean()
    total = functional.cross_entropy(logits[valid], targets.flatten()[valid]) + weight * entropy
    wanted = torch.autograd.grad(total, [p.tensor for p in module.parameters])
    means, gradients = _losses_and_gradients(module)
    torch.testing.assert_close(means["entropy"], entropy.detach())
    for parameter, gradient, expected in zip(module.parameters, gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7, msg=parameter.name)

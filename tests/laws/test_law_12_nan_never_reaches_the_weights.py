"""Law 12: NaN is caught before it touches the weights: the step is skipped, counted, and reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import changes, random_tokens


def _batch(seed: int) -> Batch:
    tokens = random_tokens(4, 17, seed=seed)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_and_optimizer_state_stay(tiny_config: Callable[..., RunConfig], poison: float) -> None:
    module = TrainModule(tiny_config(**changes("gqa-swiglu-tied", "ternary")), torch.device("cpu"))
    module.step([_batch(1)], 1)
    weights = {p.name: p.tensor.detach().clone() for p in module.parameters}
    state = {name: tensor.clone() for name, tensor in module.optimizers.state_tensors().items()}
    hook = module.model.embedding.register_forward_hook(lambda *call: call[2] * poison)
    result = module.step([_batch(2), _batch(3)], 2)
    hook.remove()
    assert result.skipped
    assert all(torch.equal(p.tensor, weights[p.name]) for p in module.parameters)
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.optimizers.state_tensors().items())
    assert not module.step([_batch(4)], 3).skipped


def test_a_gradient_that_is_not_finite_is_enough(tiny_config: Callable[..., RunConfig]) -> None:
    module = TrainModule(tiny_config(**changes("gqa-swiglu-tied")), torch.device("cpu"))
    weight = module.model.final_norm.weight
    before = weight.detach().clone()
    weight.register_hook(lambda gradient: gradient * float("nan"))
    result = module.step([_batch(1)], 1)
    assert result.skipped and torch.equal(weight, before)
    assert torch.isfinite(torch.tensor(result.losses["loss"]))

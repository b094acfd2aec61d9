"""Law 4: every trainable parameter has received a gradient after three steps; residual streams differ after block 1."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import COMBINATIONS, QUANTIZERS, changes, random_tokens


def _batch(seed: int) -> Batch:
    tokens = random_tokens(4, 17, seed=seed)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def expect_gradient_everywhere(config: RunConfig) -> None:
    """Also what the product of all parts is held against."""
    module = TrainModule(config, torch.device("cpu"))
    before = {p.name: p.tensor.detach().clone() for p in module.parameters}
    reached: set[str] = set()
    for step in range(1, 4):
        module.step([_batch(step)], step)
        reached |= {p.name for p in module.parameters if p.tensor.grad is not None and p.tensor.grad.any()}
    assert reached == {p.name for p in module.parameters if p.tensor.requires_grad}
    still = [p.name for p in module.parameters if torch.equal(p.tensor, before[p.name])]
    assert not still, "a gradient that never moves its parameter is no gradient"


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_gradient_everywhere(tiny_config: Callable[..., RunConfig], combination: str, quantizer: str) -> None:
    expect_gradient_everywhere(tiny_config(**changes(combination, quantizer), objective=[{"name": "probe/two_ahead"}]))


def test_streams_differ_after_the_first_block(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(**changes("two-streams"))
    module = TrainModule(config, torch.device("cpu"))
    seen: list[torch.Tensor] = []
    residual = module.model.residual
    write = residual.write

    def observed(state: torch.Tensor, y: torch.Tensor, sublayer: int) -> torch.Tensor:
        state = write(state, y, sublayer)
        seen.append(state.detach())
        return state

    residual.write = observed
    module.model(random_tokens(1, 8))
    first_block = seen[1]
    assert (first_block[0] - first_block[1]).norm() > 0.01 * first_block[0].norm()

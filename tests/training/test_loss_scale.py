"""fp16: the loss scale against torch's own, and gradients that do not depend on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training import loss_scale
from nanochat_framework.training.loss_scale import LossScale
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import changes, random_tokens

Make = Callable[..., RunConfig]


def _batch(seed: int) -> Batch:
    tokens = random_tokens(4, 17, seed=seed)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


@given(st.lists(st.booleans(), max_size=30))
def test_it_grows_and_shrinks_as_torchs_does(finite: list[bool]) -> None:
    theirs = torch.amp.GradScaler("cpu", growth_interval=3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    ours = LossScale.for_precision("fp16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_scale, "GROWTH_INTERVAL", 3)
        for good in finite:
            theirs.scale(parameter.sum() * (1.0 if good else float("inf"))).backward()
            theirs.step(optimizer)
            theirs.update()
            optimizer.zero_grad()
            ours.update(good)
            assert ours.factor == theirs.get_scale()


def test_other_precisions_have_none() -> None:
    for precision in ("fp32", "bf16"):
        scale = LossScale.for_precision(precision)
        scale.update(False)
        assert (scale.factor, scale.state()) == (1.0, {})


@pytest.mark.parametrize("quantizer", ["float", "ternary"])
def test_gradients_do_not_depend_on_the_scale(tiny_config: Make, quantizer: str) -> None:
    config = tiny_config(**changes("gqa-swiglu-tied", quantizer), train__precision="fp16", train__grad_clip=0.0)
    gradients = []
    for factor in (2.0**6, 2.0**10):
        module = TrainModule(config, torch.device("cpu"))
        module.loss_scale.factor = factor
        result = module.step([_batch(1)], 1)
        assert (result.skipped, result.loss_scale) == ("", factor)
        gradients.append({p.name: p.tensor.grad for p in module.parameters})
    for name, gradient in gradients[0].items():
        assert float((gradients[1][name] - gradient).norm() / gradient.norm()) < 0.02, name


def test_an_overflow_changes_no_weight_and_halves_the_scale(tiny_config: Make) -> None:
    module = TrainModule(tiny_config(train__precision="fp16"), torch.device("cpu"))
    weights = {p.name: p.tensor.detach().clone() for p in module.parameters}
    module.loss_scale.factor = 2.0**40
    result = module.step([_batch(1)], 1)
    assert result.skipped == "not_finite"
    assert module.loss_scale.factor == 2.0**39
    assert all(torch.equal(p.tensor, weights[p.name]) for p in module.parameters)

"""Computing activations again changes no bit of what is learned, and keeps less in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.data.loader import Batch
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import COMBINATIONS, changes, random_tokens

Make = Callable[..., RunConfig]


def _batch(rows: int = 4, seq: int = 16) -> Batch:
    tokens = random_tokens(rows, seq + 1)
    return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


@pytest.mark.parametrize("mode", ["block", "selective"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_losses_and_weights_are_the_same_bit_for_bit(
    tiny_config: Make, combination: str, precision: str, mode: str
) -> None:
    modules = [
        TrainModule(
            tiny_config(
                **changes(combination, "ternary"), train__precision=precision, train__activation_checkpointing=each
            ),
            torch.device("cpu"),
        )
        for each in ("none", mode)
    ]
    for step in (1, 2):
        plain, again = (module.step([_batch(), _batch()], step) for module in modules)
        assert again == plain
    for one, other in zip(*(module.parameters for module in modules), strict=True):
        assert torch.equal(one.tensor, other.tensor), one.name


def _kept_bytes(module: TrainModule) -> int:
    """Bytes of distinct tensors that the trunk's graph holds after the forward pass, parameters left out."""
    parameters = {p.tensor.data_ptr() for p in module.parameters}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module.model.hidden(_batch(8, 64).tokens)
    return sum(kept.values())


def test_a_block_keeps_its_input_only(tiny_config: Make) -> None:
    """8 rows of 64 tokens, width 64, in float32: one stream for each of the layers, and what is around them."""
    configs = [
        tiny_config(**changes("gqa-swiglu-tied"), train__activation_checkpointing=mode) for mode in ("none", "block")
    ]
    none, block = (_kept_bytes(TrainModule(config, torch.device("cpu"))) for config in configs)
    stream = 8 * 64 * 64 * 4
    assert block < 5 * stream
    assert none > 20 * stream


def test_evaluation_computes_nothing_twice(tiny_config: Make) -> None:
    module = TrainModule(tiny_config(train__activation_checkpointing="block"), torch.device("cpu"))
    calls = []
    module.model.blocks[0].ffn.register_forward_pre_hook(lambda *call: calls.append(1))
    with torch.no_grad():
        module.model.hidden(_batch().tokens)
    assert len(calls) == 1
    module.step([_batch()], 1)
    assert len(calls) == 3

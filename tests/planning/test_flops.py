"""Floating-point operations against torch's counter, which counts attention in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.planning.flops import flops_per_token
from nanochat_framework.planning.inventory import take_inventory
from tests.laws.combinations import COMBINATIONS, changes

BATCH, SEQ_LEN = 2, 16


def _counted(config: RunConfig, device: str) -> tuple[int, int]:
    """Operations per token of a forward and of a backward pass, by torch's counter."""
    with torch.device(device):
        model = config.model.build()
        tokens = torch.zeros(BATCH, SEQ_LEN, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the CPU's own attention is not counted
        logits = model(tokens)
    forward = counter.get_total_flops()
    with counter:
        logits.sum().backward()
    return forward // (BATCH * SEQ_LEN), counter.get_total_flops() // (BATCH * SEQ_LEN)


DESCRIBED = [name for name in COMBINATIONS if "probe" not in str(COMBINATIONS[name])]


@pytest.mark.parametrize("combination", DESCRIBED)
def test_equal_to_torchs_counter(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    config = tiny_config(**changes(combination), data__seq_len=SEQ_LEN)
    planned = flops_per_token(take_inventory(config), SEQ_LEN)
    forward, backward = _counted(config, "cpu" if combination.startswith("moe") else "meta")  # routing looks at numbers
    assert planned.products + planned.full_attention == forward
    constants = 0.01 if combination == "mhc-4-dynamic" else 0  # permutations are no parameters: no gradient is theirs
    assert planned.training_full_attention == pytest.approx(forward + backward, rel=constants)
    assert planned.estimated == ()


def test_causal_attention_by_hand(tiny_config: Callable[..., RunConfig]) -> None:
    planned = flops_per_token(take_inventory(tiny_config()), seq_len=3)
    seen = 1 + 2 + 3
    one_layer = seen * (2 * 4 * 16 + 2 * 4 * 16)  # scores and mixing: 4 heads of 16, a multiply and an add
    assert planned.attention * 3 == 2 * one_layer


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_multiplies_and_the_lookup_does_not(tiny_config: Callable[..., RunConfig], tied: bool) -> None:
    def products(vocab_size: int) -> int:
        changes: dict[str, Any] = {"model__vocab_size": vocab_size, "model__tie_embeddings": tied}
        return flops_per_token(take_inventory(tiny_config(**changes)), SEQ_LEN).products

    assert products(200) - products(100) == 2 * 100 * 64


def test_undescribed_matrices_are_counted_once_and_said_to_be_estimated(tiny_config: Callable[..., RunConfig]) -> None:
    planned = flops_per_token(take_inventory(tiny_config(**changes("recurrent"))), SEQ_LEN)
    recurrent, ffn, head = 4 * 64 * 64, 3 * 64 * 96, 97 * 64
    assert planned.products == 2 * (2 * (recurrent + ffn) + head)
    assert planned.estimated == ("RecurrentConfig",)


def test_rule_of_thumb_counts_all_parameters(tiny_config: Callable[..., RunConfig]) -> None:
    inventory = take_inventory(tiny_config())
    assert flops_per_token(inventory, 16).training_6n == 6 * sum(tensor.spec.size for tensor in inventory.model)

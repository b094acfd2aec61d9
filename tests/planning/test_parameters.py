"""Parameter counts: exact, by part and role, objectives apart, undescribed components by building them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.planning.inventory import take_inventory
from nanochat_framework.planning.parameters import count_parameters
from tests.laws.combinations import COMBINATIONS, changes


def _built_total(config: RunConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in config.model.build().parameters())


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_total_is_the_sum_of_the_tensors(tiny_config: Callable[..., RunConfig], combination: str) -> None:
    config = tiny_config(**changes(combination))
    count = count_parameters(take_inventory(config))
    assert count.total == _built_total(config)
    assert sum(part.parameters for part in count.parts) == count.total
    assert sum(count.by_role.values()) == count.total
    assert sum(map(count.share, count.parts)) == pytest.approx(1.0)
    for part in count.parts:
        assert not part.parts or sum(inner.parameters for inner in part.parts) == part.parameters


def test_parts_and_roles_by_hand(tiny_config: Callable[..., RunConfig]) -> None:
    count = count_parameters(take_inventory(tiny_config(model__tie_embeddings=False)))
    attention = 64 * 64 + 2 * 32 * 64 + 64 * 64
    ffn = 3 * 64 * 96
    sizes = {part.name: part.parameters for part in count.parts}
    assert sizes == {
        "embedding": 97 * 64,
        "blocks": 2 * (attention + ffn + 2 * 64),
        "final_norm": 64,
        "head": 97 * 64,
    }
    blocks = next(part for part in count.parts if part.name == "blocks")
    assert {part.name: part.parameters for part in blocks.parts} == {
        "attention": 2 * attention,
        "ffn": 2 * ffn,
        "norms": 4 * 64,
    }
    assert count.by_role == {"embedding": 97 * 64, "matrix": 2 * (attention + ffn), "norm": 5 * 64, "head": 97 * 64}


def test_undescribed_components_are_named_and_listed_where_they_stand(tiny_config: Callable[..., RunConfig]) -> None:
    config = tiny_config(**changes("all-probes"))
    inventory = take_inventory(config)
    assert set(inventory.undescribed) == {"RecurrentConfig", "Top2Config", "TwoStreamsConfig"}
    with torch.device("meta"):
        roles = {p.name: p.role for p in named_parameters(config.model.build())}
    assert {t.spec.name: t.spec.role for t in inventory.model} == roles
    sizes = {part.name: part.parameters for part in count_parameters(inventory).parts}
    assert sizes["blocks.*.attention"] == 2 * 4 * 64 * 64
    assert "blocks.*.ffn" in sizes
    assert "residual" in sizes


def test_parameters_of_objectives_are_counted_apart(tiny_config: Callable[..., RunConfig]) -> None:
    plain = count_parameters(take_inventory(tiny_config()))
    count = count_parameters(take_inventory(tiny_config(objective=[{"name": "probe/two_ahead"}])))
    assert count.total == plain.total
    assert count.objectives == {"probe/two_ahead": 64 * 64}

"""The laws that every model obeys, over attention x feed-forward x residual x quantizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from nanochat_exporters.config import GgufConfig, SafetensorsConfig
from nanochat_exporters.gguf.exporter import GgufExporter
from nanochat_exporters.safetensors_file import build_safetensors_exporter
from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.contracts.exporter import ModelBundle
from nanochat_framework.data.loader import Batch
from nanochat_framework.inference.bundle import bundle_from, model_from_bundle, tensors_of
from nanochat_framework.inference.comparison import EXACT_LOGITS, relative_difference
from nanochat_framework.plugins import Registry
from nanochat_framework.training.train_module import TrainModule
from tests.laws.combinations import random_tokens
from tests.laws.product import AXES, Choice, cases, changes, pairwise
from tests.laws.test_law_02_causality import expect_causality
from tests.laws.test_law_03_cache_equals_full import expect_pieces_to_equal_the_whole
from tests.laws.test_law_04_every_parameter_learns import expect_gradient_everywhere
from tests.laws.test_law_06_accumulation import expect_accumulation_to_equal_one_batch

OBJECTIVES = [{"name": "z_loss", "weight": 0.01}, {"name": "mtp"}]
MakeConfig = Callable[..., RunConfig]


def test_every_pair_of_parts_is_among_the_few() -> None:
    few = pairwise([list(axis) for axis in AXES])
    assert len(few) < len(cases()) / 5
    for (i, first), (j, second) in combinations(enumerate(AXES), 2):
        assert {(choice[i], choice[j]) for choice in few} == {(a, b) for a in first for b in second}


@pytest.mark.parametrize("choice", cases())
@pytest.mark.parametrize("mode", ["train", "serve"])
def test_causality(tiny_config: MakeConfig, choice: Choice, mode: str) -> None:
    expect_causality(tiny_config(**changes(choice)), mode)


@pytest.mark.parametrize("choice", cases())
def test_cache_equals_full(tiny_config: MakeConfig, choice: Choice) -> None:
    rounds_activations = choice[-1] == "ternary"
    expect_pieces_to_equal_the_whole(tiny_config(**changes(choice)), 0.05 if rounds_activations else 1e-4)


@pytest.mark.parametrize("choice", cases())
def test_gradient_everywhere(tiny_config: MakeConfig, choice: Choice) -> None:
    expect_gradient_everywhere(tiny_config(**changes(choice), objective=OBJECTIVES))


@pytest.mark.parametrize("choice", cases())
def test_accumulation_equals_one_batch(tiny_config: MakeConfig, choice: Choice) -> None:
    config = tiny_config(**changes(choice), objective=OBJECTIVES, train__loss_chunk=7)
    expect_accumulation_to_equal_one_batch(config, 4)


@pytest.mark.parametrize("choice", cases())
def test_export_equals_forward(
    tiny_config: MakeConfig, probe_registry: Registry, tmp_path: Path, choice: Choice
) -> None:
    """After a step of training, the model that was trained and what is read back from two formats."""
    config = tiny_config(**changes(choice))
    module = TrainModule(config, torch.device("cpu"))
    tokens = random_tokens(4, 17)
    module.step([Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())], 1)
    model = module.model.eval()
    bundle = ModelBundle(config.model, config.quantizer, config.model.config.describe(), {}, None, {"name": "tiny"})
    bundle = replace(bundle, tensors=tensors_of(model))
    with torch.no_grad():
        expected = model(tokens)
        for name, exporter in (
            ("m.gguf", GgufExporter(GgufConfig())),
            ("m.safetensors", build_safetensors_exporter(SafetensorsConfig())),
        ):
            exporter.export(bundle, tmp_path / name)
            logits = model_from_bundle(bundle_from(tmp_path / name, probe_registry))(tokens)
            assert relative_difference(expected, logits) <= EXACT_LOGITS, name

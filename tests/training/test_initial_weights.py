"""`train.init_from` where the new configuration learns scales that the source does or does not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanochat_framework.config.run_config import RunConfig
from nanochat_framework.inference.bundle import bundle_from_checkpoint, tensors_of
from nanochat_framework.model.build import build_model
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight
from nanochat_framework.plugins import Registry
from nanochat_framework.training.initial_weights import take_weights
from nanochat_framework.training.train_module import TrainModule
from tests.inference.checkpoints import write_checkpoint

Make = Callable[..., RunConfig]
LEARNED = {"match": "matrix", "name": "ternary", "scale": "learned", "group_size": 32}


def _source(tmp_path: Path, config: RunConfig) -> str:
    write_checkpoint(tmp_path, "source", config, seed=5)
    return str(tmp_path / "source")


def _scales(module: TrainModule) -> dict[str, torch.Tensor]:
    return {p.name: p.tensor for p in module.parameters if p.role == "quantizer_scale"}


@pytest.mark.parametrize("group_size", [32, "tensor"])
@pytest.mark.parametrize(
    "before", [None, {"match": "*", "name": "int8"}, {**LEARNED, "group_size": 64}], ids=["float", "int8", "other"]
)
def test_scales_that_the_source_has_not_begin_from_its_weights(
    tiny_config: Make,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: dict[str, Any] | None,
    group_size: Any,
) -> None:
    source = _source(tmp_path, tiny_config(quantizer=[before] if before else [], model__vocab_size=608))
    config = tiny_config(quantizer=[{**LEARNED, "group_size": group_size}], model__vocab_size=608)
    module = TrainModule(config, torch.device("cpu"))
    random = {name: tensor.clone() for name, tensor in _scales(module).items()}
    take_weights(module, source, registry, None)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"train.init_from: {source} has no learned scales for 14 weights; they begin from the weights"]
    fresh = build_model(config.model, ())
    values = {p.name: p.tensor for p in module.parameters if p.role != "quantizer_scale"}
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            parameter.copy_(values[name])
    like_new: dict[str, torch.Tensor] = {}

    def visit(name: str, weight: QuantizableWeight) -> None:
        if weight.parameter_roles["weight"] == "matrix":
            weight.quantize_with(config.quantizer[0].component.build())
            like_new[name.replace("weight", "weight_scales")] = weight.get_parameter("weight_scales")

    for_each_weight(fresh, visit)
    assert _scales(module).keys() == like_new.keys()
    for name, tensor in _scales(module).items():
        assert torch.equal(tensor, like_new[name]), name
    assert any(not torch.equal(tensor, random[name]) for name, tensor in _scales(module).items())


@pytest.mark.parametrize("group_size", [32, "row", "tensor"])
def test_scales_that_the_source_has_are_kept(
    tiny_config: Make, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], group_size: Any
) -> None:
    """The codes and scales of the source come out again, which they would not with scales found anew."""
    config = tiny_config(quantizer=[{**LEARNED, "group_size": group_size}], model__vocab_size=608)
    source = _source(tmp_path, config)
    module = TrainModule(config, torch.device("cpu"))
    take_weights(module, source, registry, None)
    assert capsys.readouterr().err == ""
    theirs, ours = bundle_from_checkpoint(Path(source), registry).tensors, tensors_of(module.model)
    for name, tensor in theirs.items():
        if isinstance(tensor, QuantizedWeight):
            mine = ours[name]
            assert isinstance(mine, QuantizedWeight)
            assert torch.equal(mine.codes, tensor.codes)
            assert torch.equal(mine.scales, tensor.scales)

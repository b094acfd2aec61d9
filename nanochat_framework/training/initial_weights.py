"""Training that begins with the weights of another model instead of random ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanochat_framework.config.quantization import LEARNED_SCALES
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.bundle import bundle_from
from nanochat_framework.model import roles
from nanochat_framework.model.parameters import named_parameters
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight, learning_quantizer
from nanochat_framework.plugins.registry import Registry
from nanochat_framework.training.checkpoint import origin_of
from nanochat_framework.training.train_module import TrainModule

KEY = "train.init_from"


@torch.no_grad()
def take_weights(module: TrainModule, target: str, registry: Registry, tokenizer: Path | None) -> dict[str, str]:
    """Copy the weights of a run, a checkpoint or a model file into the model that is about to be trained.

    Codes become the numbers they stand for. Learned scales are those that give these codes again, if there are such, else
    they begin from the weights. Objectives and optimizers begin afresh. Returns what every checkpoint is to remember of
    that model, its chat template for one. Raises UsageError where the model has other tensors
    or shapes, or where the data were made with another tokenizer than the model.
    """
    bundle = bundle_from(target, registry)
    theirs = bundle.tokenizer
    if tokenizer is not None and theirs is not None and Tokenizer.load(tokenizer).fingerprint != theirs.fingerprint:
        raise UsageError(
            f"{KEY}: {target} has another tokenizer than the data; prepare them with its tokenizer.json "
            f"(`nanochat prepare-data --tokenizer`)"
        )
    parameters = {p.name: p.tensor for p in named_parameters(module.model) if p.role != roles.QUANTIZER_SCALE}
    odd = sorted(set(bundle.tensors) ^ set(parameters))
    if odd:
        whose = f"only {target} has" if odd[0] in bundle.tensors else "only the model has"
        raise UsageError(f"{KEY}: the [model] table is not that of {target}: {whose} a tensor {odd[0]}")
    for name, tensor in bundle.tensors.items():
        values = tensor if isinstance(tensor, Tensor) else tensor.dequantize()
        if values.shape != parameters[name].shape:
            shapes = f"{tuple(parameters[name].shape)}, there {tuple(values.shape)}"
            raise UsageError(f"{KEY}: the [model] table is not that of {target}: {name} is {shapes}")
        parameters[name].copy_(values)
    found = _begin_scales(module.model, bundle.tensors)
    if found and module.world.is_main:
        print(
            f"{KEY}: {target} has no learned scales for {found} weights; they begin from the weights", file=sys.stderr
        )
    changed = _differences(bundle.model.to_dict(), module.config.model.to_dict())
    if changed and module.world.is_main:
        print(f"warning: {KEY}: the [model] table differs from that of {target}: {', '.join(changed)}", file=sys.stderr)
    return origin_of(bundle)


def _begin_scales(model: LanguageModel, tensors: Mapping[str, Tensor | QuantizedWeight]) -> int:
    """Give learned scales their first values, once the weights are there; how many tensors of them were new."""
    new = 0

    def visit(name: str, module: QuantizableWeight) -> None:
        nonlocal new
        learning = learning_quantizer(module)
        if learning is None:
            return
        scales, weight, given = module.get_parameter(LEARNED_SCALES), module.weight.detach().float(), tensors[name]
        scales.copy_(learning.initial_scales(weight))
        if isinstance(given, QuantizedWeight):
            theirs = learning.scales_of(given.to(weight.device))
            if theirs.shape == scales.shape and torch.equal(
                learning.quantize_with(weight, theirs).dequantize(), weight
            ):
                scales.copy_(theirs)
                return
        new += 1

    for_each_weight(model, visit)
    return new


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: str = "") -> list[str]:
    """`attention.rope_theta 1000000.0 -> 10000.0` for each key that is different; shapes do not tell of all of them."""
    found = []
    for key in sorted({*theirs, *ours}):
        first, second = theirs.get(key), ours.get(key)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            found += _differences(first, second, f"{path}{key}.")
        elif first != second:
            found.append(f"{path}{key} {first} -> {second}")
    return found

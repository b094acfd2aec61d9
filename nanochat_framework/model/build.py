"""From configuration to a module: build, initialise, quantise, set the precision, in one visible order."""

from __future__ import annotations

from typing import Any

import torch

from nanochat_framework.config.rules import QuantizerRule
from nanochat_framework.config.selection import Selected
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.model.parameters import check_description
from nanochat_framework.model.quantization import apply_quantizers

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(
    model: Selected[Any],
    quantizers: tuple[QuantizerRule, ...] = (),
    *,
    precision: str = "fp32",
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> LanguageModel:
    """Build a model with fresh weights, the same for one seed on every device.

    The weights are float32; activations and products use `precision`. Raises NanochatError if the built model and its
    description disagree.
    """
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        built = model.build()
    finally:
        torch.set_rng_state(generator_state)
    assert isinstance(built, LanguageModel)
    check_description(built, model.config.describe())
    built = built.to(device)
    apply_quantizers(built, quantizers)
    set_precision(built, precision)
    return built


def set_precision(model: LanguageModel, precision: str) -> None:
    """Set the dtype of activations: modules that start a stream of activations read `compute_dtype`."""
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            setattr(module, "compute_dtype", PRECISIONS[precision])  # noqa: B010 (nn.Module types attributes as tensors)

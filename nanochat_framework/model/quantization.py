"""Quantizers on a model: who rounds what, how much of it at a step, and the gradients of learned scales."""

from __future__ import annotations

import torch
from torch import nn

from nanochat_framework.config.quantization import LEARNED_SCALES
from nanochat_framework.config.rules import QuantizerRule, QuantizerWarmup, quantizer_match
from nanochat_framework.contracts.quantizer import Quantizer
from nanochat_framework.model.weight import QuantizableWeight, for_each_weight, learning_quantizer


def apply_quantizers(model: nn.Module, rules: tuple[QuantizerRule, ...]) -> dict[str, str]:
    """Give every weight the quantizer of the first rule that matches it; weight name -> quantizer name.

    Weights of linear maps and the token table can be quantised; a quantizer with learned scales adds its parameters to
    their modules. A warm-up does nothing until `set_warmup` says how far it is.
    """
    built = [rule.component.build() for rule in rules]
    for quantizer, rule in zip(built, rules, strict=True):
        quantizer.warmup = rule.warmup
    chosen: dict[str, str] = {}

    def visit(name: str, module: QuantizableWeight) -> None:
        index = quantizer_match(rules, name, module.parameter_roles["weight"])
        module.quantize_with(None if index is None else built[index])
        if index is not None:
            chosen[name] = rules[index].component.name

    for_each_weight(model, visit)
    return chosen


def set_warmup(model: nn.Module, step: int) -> None:
    """Round as much as each quantizer's warm-up says for update number `step`; all, where there is none or it is over."""

    warming: dict[int, tuple[Quantizer, QuantizerWarmup, torch.device]] = {}

    def visit(name: str, module: QuantizableWeight) -> None:
        quantizer = module.quantizer
        if quantizer is not None and quantizer.warmup is not None:
            warming[id(quantizer)] = (quantizer, quantizer.warmup, module.weight.device)

    for_each_weight(model, visit)
    for quantizer, warmup, device in warming.values():
        share = warmup.strength(step)
        if share >= 1.0:
            quantizer.strength = None
        elif quantizer.strength is None:
            quantizer.strength = torch.tensor(share, device=device)
        else:
            quantizer.strength.fill_(share)  # in place: compiled code holds on to the tensor


@torch.no_grad()
def set_scale_gradients(model: nn.Module) -> None:
    """Give learned scales their gradients, from the finished gradients of their weights.

    A weight's gradient is that of its dequantised values, summed over everything the weight was used for, so this is
    done once a step, after accumulation and reduction, and costs no more than the rounding did.
    """

    def visit(name: str, module: QuantizableWeight) -> None:
        learning = learning_quantizer(module)
        if learning is None or module.weight.grad is None:
            return
        scales = module.get_parameter(LEARNED_SCALES)
        gradient = learning.scale_gradient(module.weight, scales, module.weight.grad)
        scales.grad = gradient if learning.strength is None else gradient * learning.strength

    for_each_weight(model, visit)

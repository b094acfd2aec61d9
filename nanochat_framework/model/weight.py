"""A weight that products use in another form than training holds it in: rounded by a quantizer, or in a narrower dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.config.quantization import LEARNED_SCALES
from nanochat_framework.model import roles
from nanochat_framework.model.kept_rows import KeptRows, kept_rows_of
from nanochat_framework.model.quantized import QuantizedWeight

if TYPE_CHECKING:
    from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer, Quantizer


class QuantizableWeight(nn.Module):
    """A matrix `weight` (out_features, in_features), master copy in float32, and the product with it.

    What the product uses (the weight cast to the compute dtype, or its dequantised codes) is made once for each change
    of the weight and shared by all micro-batches of a step. Gradients reach the master weight as if the cast or
    rounding were the identity (straight-through). `freeze` fixes the codes: a weight that came from a file is never
    quantised again, because codes · scale quantised anew may have other scales.
    """

    weight: nn.Parameter

    def __init__(self, weight: nn.Parameter, role: str) -> None:
        super().__init__()
        self.weight = weight
        self.parameter_roles = {"weight": role}
        self.quantizer: Quantizer | None = None
        self._frozen: QuantizedWeight | None = None
        self._prepared: Tensor | None = None
        self._codes: QuantizedWeight | None = None
        self._prepared_for: tuple[Any, ...] | None = None

    def quantize_with(self, quantizer: Quantizer | None) -> None:
        """Round the weight by this quantizer from now on; one with learned scales gives the module their parameters."""
        self.quantizer = quantizer
        learning = learning_quantizer(self)
        if learning is not None:
            first = learning.initial_scales(self.weight.detach().float())
            self.register_parameter(LEARNED_SCALES, nn.Parameter(first))
            self.parameter_roles[LEARNED_SCALES] = roles.QUANTIZER_SCALE
        elif LEARNED_SCALES in self.parameter_roles:
            delattr(self, LEARNED_SCALES)
            del self.parameter_roles[LEARNED_SCALES]

    def product(self, x: Tensor) -> Tensor:
        """x Wᵀ: (..., in_features) -> (..., out_features), dtype of x."""
        if self.quantizer is None and x.dtype == self.weight.dtype:
            kept = kept_rows_of(x)
            if kept is None:
                return functional.linear(x, self.weight)
            return _straight_through(x, self.weight, x.detach(), self.weight.detach(), None, kept)
        return self.product_of_rounded(x, self.rounded(x))

    def product_of_rounded(self, x: Tensor, x_rounded: Tensor) -> Tensor:
        """The same where `rounded(x)` is already known; the gradient goes to x."""
        prepared = self.prepared(x.dtype)
        known = None
        if self.quantizer is not None and self._codes is not None:
            known = self.quantizer.product(x_rounded, prepared, self._codes)
        return _straight_through(x, self.weight, x_rounded, prepared, known, kept_rows_of(x))

    def rounded(self, x: Tensor) -> Tensor:
        """The input as the product sees it, without gradient."""
        x = x.detach()
        if self.quantizer is None:
            return x
        rounded = self.quantizer.quantize_activations(x)
        strength = self.quantizer.strength
        return rounded if strength is None else torch.lerp(x, rounded, strength.to(x.dtype))

    def quantized(self) -> QuantizedWeight | None:
        """Codes and scales of the present weight, None where nothing quantises it."""
        if self._frozen is not None or self.quantizer is None:
            return self._frozen
        weight, learning = self.weight.detach().float(), learning_quantizer(self)
        if learning is None:
            return self.quantizer.quantize(weight)
        return learning.quantize_with(weight, self.get_parameter(LEARNED_SCALES).detach())

    def freeze(self, quantized: QuantizedWeight) -> None:
        """Use these codes and scales from now on, for inference; the weight becomes their values."""
        if quantized.shape != self.weight.shape:
            raise ValueError(f"codes {tuple(quantized.shape)} do not fit a weight {tuple(self.weight.shape)}")
        self._frozen, learning = quantized, learning_quantizer(self)
        with torch.no_grad():
            self.weight.copy_(quantized.dequantize())
            if learning is not None:
                self.get_parameter(LEARNED_SCALES).copy_(learning.scales_of(quantized))
        self._prepared_for = None

    @torch.no_grad()
    def prepared(self, dtype: torch.dtype) -> Tensor:
        """The weight as the product uses it, cached until the weight changes; then the same memory is written anew.

        Inside compiled code it is what was last made: training makes it before each step.
        """
        if torch.compiler.is_compiling():
            assert self._prepared is not None
            return self._prepared
        key = (dtype, id(self.quantizer), *(_state(tensor) for tensor in self._made_from()))
        if self._prepared is None or self._prepared_for != key:
            with torch.inference_mode(False):  # what is made while generating may be used in training too
                self._prepare(dtype)
            self._prepared_for = key
        assert self._prepared is not None
        return self._prepared

    def prepare_in(self, memory: Tensor) -> None:
        """Keep what products use in this memory from now on: it holds that already, and has its shape and dtype."""
        assert self._prepared is not None and self._prepared.shape == memory.shape, "prepared comes first"
        self._prepared = memory

    def _made_from(self) -> list[Tensor | None]:
        scales = self.get_parameter(LEARNED_SCALES) if LEARNED_SCALES in self.parameter_roles else None
        return [self.weight, scales, self.quantizer.strength if self.quantizer else None]

    def _prepare(self, dtype: torch.dtype) -> None:
        weight, quantized = self.weight.detach(), self.quantized()
        prepared = self._prepared
        if prepared is None or prepared.dtype != dtype or prepared.device != weight.device:
            prepared = self._prepared = torch.empty(weight.shape, dtype=dtype, device=weight.device)
        self._codes = None
        if quantized is None:
            prepared.copy_(weight)
        elif self.quantizer is None or self.quantizer.strength is None or self._frozen is not None:
            quantized.dequantize(dtype, out=prepared)
            self._codes = quantized if self.quantizer is not None and self.quantizer.keeps_codes else None
        else:
            prepared.copy_(torch.lerp(weight.float(), quantized.dequantize(), self.quantizer.strength))


def learning_quantizer(module: QuantizableWeight) -> LearnedScaleQuantizer | None:
    """The module's quantizer if its scales are parameters of the module."""
    from nanochat_framework.contracts.quantizer import LearnedScaleQuantizer  # its contract needs this package

    return module.quantizer if isinstance(module.quantizer, LearnedScaleQuantizer) else None


def _state(tensor: Tensor | None) -> tuple[int, int] | None:
    """What tells that a tensor was written to, or is another one."""
    return None if tensor is None else (tensor._version, tensor.data_ptr())


class _StraightThrough(torch.autograd.Function):
    """Product of rounded operands, made here if it is not known; gradients go to the operands before rounding."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        x_rounded: Tensor,
        prepared: Tensor,
        known: Tensor | None,
        kept: KeptRows | None,
    ) -> Tensor:
        ctx.save_for_backward(x_rounded, prepared)
        ctx.weight_dtype, ctx.kept = weight.dtype, kept
        return functional.linear(x_rounded, prepared) if known is None else known.view_as(known)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        (gradient,) = gradients
        x_rounded, prepared = ctx.saved_tensors
        kept: KeptRows | None = ctx.kept
        rows = gradient if kept is None else kept.of(gradient)
        grad_x = rows @ prepared if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            inputs = x_rounded.flatten(0, -2) if kept is None else kept.of(x_rounded)
            grad_weight = (rows.flatten(0, -2).t() @ inputs).to(ctx.weight_dtype)
        if kept is not None and grad_x is not None:
            grad_x = kept.spread(grad_x)
        return grad_x, grad_weight, None, None, None, None


_straight_through: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, KeptRows | None], Tensor]
_straight_through = _StraightThrough.apply


def for_each_weight(model: nn.Module, visit: Callable[[str, QuantizableWeight], None]) -> None:
    """Call `visit(full weight name, module)` for every weight of a model that may be quantised, in module order."""
    for name, module in model.named_modules():
        if isinstance(module, QuantizableWeight):
            visit(f"{name}.weight" if name else "weight", module)

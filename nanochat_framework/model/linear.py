"""The linear map that every component uses: quantisation and precision are applied to it from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nanochat_framework.model import roles
from nanochat_framework.model.quantized import QuantizedWeight

if TYPE_CHECKING:
    from nanochat_framework.contracts.quantizer import Quantizer


class Linear(nn.Module):
    """y = x Wᵀ, W of shape (out_features, in_features), master copy in float32.

    What the product uses (the weight cast to the compute dtype, or its dequantised codes) is made once for each change
    of the weight and shared by all micro-batches of a step. Gradients reach the master weight as if the cast or
    rounding were the identity (straight-through). `freeze` fixes the codes: a weight that came from a file is never
    quantised again, because codes · scale quantised anew has other scales.
    """

    def __init__(
        self, in_features: int, out_features: int, *, role: str = roles.MATRIX, init_scale: float = 1.0
    ) -> None:
        """Weights start normal with standard deviation init_scale / sqrt(in_features)."""
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.normal_(self.weight, std=init_scale * in_features**-0.5)
        self.parameter_roles = {"weight": role}
        self.quantizer: Quantizer | None = None
        self._frozen: QuantizedWeight | None = None
        self._prepared: Tensor | None = None
        self._prepared_for: tuple[Any, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), dtype of x."""
        if self.quantizer is not None:
            x_rounded = self.quantizer.quantize_activations(x.detach())
            return _straight_through(x, self.weight, x_rounded, self.prepared(x.dtype))
        if x.dtype == self.weight.dtype:
            return functional.linear(x, self.weight)
        return _straight_through(x, self.weight, x.detach(), self.prepared(x.dtype))

    def quantized(self) -> QuantizedWeight | None:
        """Codes and scales of the present weight, None where nothing quantises it."""
        if self._frozen is not None or self.quantizer is None:
            return self._frozen
        return self.quantizer.quantize(self.weight.detach().float())

    def freeze(self, quantized: QuantizedWeight) -> None:
        """Use these codes and scales from now on, for inference; the weight becomes their values."""
        if quantized.shape != self.weight.shape:
            raise ValueError(f"codes {tuple(quantized.shape)} do not fit a weight {tuple(self.weight.shape)}")
        self._frozen = quantized
        with torch.no_grad():
            self.weight.copy_(quantized.dequantize())
        self._prepared = None

    @torch.no_grad()
    def prepared(self, dtype: torch.dtype) -> Tensor:
        """The weight as the product uses it, cached until the weight changes.

        Inside compiled code it is what was last made: training makes it before each step.
        """
        if torch.compiler.is_compiling():
            assert self._prepared is not None
            return self._prepared
        key = (self.weight._version, self.weight.data_ptr(), dtype, id(self.quantizer))
        if self._prepared is None or self._prepared_for != key:
            quantized = self.quantized()
            source = self.weight.detach() if quantized is None else quantized.dequantize(dtype)
            self._prepared, self._prepared_for = source.to(dtype), key
        return self._prepared

    def extra_repr(self) -> str:
        """Sizes and role, for printing."""
        return f"{self.in_features} -> {self.out_features}, role={self.parameter_roles['weight']}"


class _StraightThrough(torch.autograd.Function):
    """Product of rounded operands; gradients go to the operands before rounding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, x_rounded: Tensor, prepared: Tensor) -> Tensor:
        ctx.save_for_backward(x_rounded, prepared)
        ctx.weight_dtype = weight.dtype
        return functional.linear(x_rounded, prepared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,) = gradients
        x_rounded, prepared = ctx.saved_tensors
        grad_x = gradient @ prepared if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            rows = gradient.flatten(0, -2)
            grad_weight = (rows.t() @ x_rounded.flatten(0, -2)).to(ctx.weight_dtype)
        return grad_x, grad_weight, None, None


def _straight_through(x: Tensor, weight: Tensor, x_rounded: Tensor, prepared: Tensor) -> Tensor:
    product: Tensor = _StraightThrough.apply(x, weight, x_rounded, prepared)  # type: ignore[no-untyped-call]
    return product


def linear_together(x: Tensor, linears: Sequence[Linear]) -> list[Tensor]:
    """Apply several maps to one input; what they share (rounding the activations) is done once.

    x: (..., in_features) -> one (..., out_features) for each map, the same as calling each.
    """
    quantizer = linears[0].quantizer
    if quantizer is None or any(linear.quantizer is not quantizer for linear in linears):
        return [linear(x) for linear in linears]
    x_rounded = quantizer.quantize_activations(x.detach())
    return [_straight_through(x, linear.weight, x_rounded, linear.prepared(x.dtype)) for linear in linears]


def for_each_linear(model: nn.Module, visit: Callable[[str, Linear], None]) -> None:
    """Call `visit(full weight name, module)` for every `Linear` of a model, in module order."""
    for name, module in model.named_modules():
        if isinstance(module, Linear):
            visit(f"{name}.weight" if name else "weight", module)

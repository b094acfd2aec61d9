"""Linear maps of one shape, each for its own rows, as one grouped product: the experts of a mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nanochat_framework.kernels.table import active
from nanochat_framework.model.kept_rows import kept_rows_of
from nanochat_framework.model.linear import Linear


class StackedLinears(nn.Module):
    """Row r of the input meets the map of the group that r lies in; groups follow one another in the rows.

    The maps stay what they are, modules of their owner with their own weights, quantizers and roles: what products use of
    them (`Linear.prepared`) lies in one tensor (groups, out_features, in_features), and one call of the operation
    `grouped_mm` multiplies all of it. How many rows a group has is known to the device alone.
    """

    def __init__(self, linears: Sequence[Linear]) -> None:
        super().__init__()
        self.linears = tuple(linears)  # in a tuple: they are not this module's to save or to train
        self.kernels = active()
        self._values: Tensor | None = None

    def supports(self, x: Tensor) -> bool:
        """Whether an input is multiplied in one call here; elsewhere the maps are called one by one.

        Not without a kernel for its dtype (bfloat16), nor where a quantizer multiplies codes itself or a token filter works
        on some rows.
        """
        first = self.linears[0]
        quantizers = {linear.quantizer for linear in self.linears}
        sizes_fit = first.in_features % 8 == 0 and first.out_features % 8 == 0  # rows of whole 16 bytes
        simple = len(quantizers) == 1 and not (first.quantizer is not None and first.quantizer.keeps_codes)
        has_kernel = self.kernels.choose("grouped_mm", x.device.type).implementation != "naive"
        return x.dtype == torch.bfloat16 and sizes_fit and simple and has_kernel and kept_rows_of(x) is None

    def rounded(self, x: Tensor) -> Tensor:
        """The input as the products see it, without gradient; the same for every map."""
        return self.linears[0].rounded(x)

    def product_of_rounded(self, x: Tensor, x_rounded: Tensor, ends: Tensor) -> Tensor:
        """(rows, in_features) -> (rows, out_features), dtype of x; the gradient goes to x and to every weight.

        ends: (groups,) int32, the row after each group's last one.
        """
        call = self.kernels.choose("grouped_mm", x.device.type).call
        weights = [linear.weight for linear in self.linears]
        return _straight_through(call, ends, x, x_rounded, self.prepared(x.dtype), *weights)

    @torch.no_grad()
    def prepared(self, dtype: torch.dtype) -> Tensor:
        """The maps' weights as products use them, (groups, out_features, in_features), made when a weight changed."""
        if torch.compiler.is_compiling():
            assert self._values is not None
            return self._values
        parts = [linear.prepared(dtype) for linear in self.linears]
        if self._values is None or any(part._base is not self._values for part in parts):
            with torch.inference_mode(False):
                self._values = torch.stack(parts)
                for linear, part in zip(self.linears, self._values, strict=True):
                    linear.prepare_in(part)
        return self._values


class _StraightThrough(torch.autograd.Function):
    """The grouped product of rounded operands; gradients go to the operands before rounding."""

    @staticmethod
    def forward(
        ctx: Any,
        call: Callable[[Tensor, Tensor, Tensor], Tensor],
        ends: Tensor,
        x: Tensor,
        x_rounded: Tensor,
        prepared: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(ends, x_rounded, prepared)
        ctx.call, ctx.weight_dtype = call, weights[0].dtype
        return call(x_rounded, prepared.transpose(1, 2), ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0].contiguous()
        ends, x_rounded, prepared = ctx.saved_tensors
        grad_x = ctx.call(gradient, prepared, ends) if ctx.needs_input_grad[2] else None
        grad_weights: list[Tensor | None] = [None] * prepared.shape[0]
        if any(ctx.needs_input_grad[5:]):
            together = ctx.call(gradient.t(), x_rounded, ends).to(ctx.weight_dtype)
            grad_weights = [
                each if need else None for each, need in zip(together, ctx.needs_input_grad[5:], strict=True)
            ]
        return None, None, grad_x, None, None, *grad_weights


_straight_through: Callable[..., Tensor] = _StraightThrough.apply

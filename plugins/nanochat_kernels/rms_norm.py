"""Root-mean-square norm, block by block, with its gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanochat_framework.config.component import ComponentConfig
from nanochat_framework.contracts.kernel import Kernel
from nanochat_framework.kernels import naive
from nanochat_framework.kernels.blocks import fits_one_block, row_blocks


class _RmsNorm(torch.autograd.Function):
    """y = x̂ · w with x̂ = x · r and r = 1 / sqrt(mean(x²) + eps); keeps x and r, not the float32 steps between.

    With u = dy · w: dx = r · (u - x̂ · mean(u · x̂)), dw = Σ over rows of dy · x̂.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        normed = torch.empty_like(rows)
        scales = torch.empty(rows.shape[0], 1, dtype=torch.float32, device=x.device)
        for block in row_blocks(rows):
            wide = rows[block].float()
            scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True).add_(eps), out=scales[block])
            if weight is None:
                torch.mul(wide, scale, out=normed[block])
            else:
                torch.mul(torch.mul(wide, scale), weight, out=normed[block])
        ctx.save_for_backward(rows, weight, scales)
        return normed.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, weight, scales = ctx.saved_tensors
        gradient = gradients[0].reshape(rows.shape)
        grad_rows = torch.empty_like(rows)
        grad_weight = torch.zeros(rows.shape[1], dtype=torch.float32, device=rows.device)
        for block in row_blocks(rows):
            incoming, scale = gradient[block].float(), scales[block]
            normed = torch.mul(rows[block].float(), scale)
            product = torch.mul(incoming, normed)
            if weight is not None:
                grad_weight += product.sum(dim=0)
                product.mul_(weight)
                incoming = torch.mul(incoming, weight)
            mean = product.mean(dim=-1, keepdim=True)
            torch.mul(torch.sub(incoming, normed.mul_(mean)), scale, out=grad_rows[block])
        return grad_rows.view(gradients[0].shape), None if weight is None else grad_weight.to(weight.dtype), None


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """As `kernels.naive.rms_norm`; forward bit for bit, the gradient to float32's accuracy."""
    if fits_one_block(x) and not torch.is_grad_enabled():
        return naive.rms_norm(x, weight, eps)  # decoding: a row or a few, where each call into torch counts
    apply: Any = _RmsNorm.apply
    normed: Tensor = apply(x, weight, eps)
    return normed


def build_rms_norm(config: ComponentConfig) -> Kernel:
    """Factory of `rms_norm/blocked`."""
    return rms_norm

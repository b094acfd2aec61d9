"""Weights and activations in floats of 8 bits (Micikevicius et al. 2022, arXiv 2209.05433) with power-of-two scales."""

from __future__ import annotations

import torch
from torch import Tensor

from nanochat_framework.contracts.quantizer import Quantizer
from nanochat_framework.kernels.blocks import row_blocks
from nanochat_framework.kernels.powers import power_of_two_scales
from nanochat_framework.kernels.table import active
from nanochat_framework.model.quantized import QuantizedWeight
from nanochat_quantizers.config import Fp8Config

FORMATS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


class Fp8(Quantizer):
    """w ≈ code · s with code a float of 8 bits and s the least power of two for which no code overflows.

    A power of two costs no precision in the format's normal range, and makes every value exact in bfloat16 and float32.
    Where there is a kernel for 8-bit products and the activations are rounded too, the forward pass multiplies the
    codes; elsewhere it multiplies their values, which is the same but for the order of the sum. The backward pass
    multiplies values.
    """

    def __init__(self, config: Fp8Config) -> None:
        self.config = config
        self.dtype, self.largest = FORMATS[config.format], config.codes().largest
        self.keeps_codes = self.config.rounds_activations()
        self.kernels = active()

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> QuantizedWeight:
        """Codes and scales of (..., out_features, in_features) float32; leading dimensions are separate matrices."""
        rows = weight.reshape(-1, weight.shape[-1])
        codes = torch.empty(rows.shape, dtype=self.dtype, device=rows.device)
        largest = torch.cat([rows[block].abs().amax(dim=-1, keepdim=True) for block in row_blocks(rows)])
        if self.config.group_size == "tensor":
            matrices = largest.view(weight.shape[:-1])
            largest = matrices.amax(dim=-1, keepdim=True).expand(matrices.shape).reshape(-1, 1)
        scales = power_of_two_scales(largest, self.largest)
        for block in row_blocks(rows):
            codes[block] = (rows[block] / scales[block]).to(self.dtype)
        return QuantizedWeight(codes.view(weight.shape), scales.view(*weight.shape[:-1], 1), weight.shape[-1])

    def quantize_activations(self, x: Tensor) -> Tensor:
        """(..., in_features), each position rounded with a scale of its own; same dtype, exact in bfloat16."""
        if self.config.activation_bits == 0:
            return x
        rows = x.detach().reshape(-1, x.shape[-1])
        rounded = torch.empty_like(rows)
        for block in row_blocks(rows):
            wide = rows[block].float()
            scales = power_of_two_scales(wide.abs().amax(dim=-1, keepdim=True), self.largest)
            torch.mul((wide / scales).to(self.dtype).float(), scales, out=rounded[block])
        return rounded.view(x.shape)

    def product(self, x: Tensor, weight: Tensor, quantized: QuantizedWeight) -> Tensor:
        """x Wᵀ, by the kernel for 8-bit products where there is one."""
        multiply = self.kernels.choose("fp8_linear", x.device.type).call
        result: Tensor = multiply(x, weight, quantized.codes, quantized.scales)
        return result


def build_fp8(config: Fp8Config) -> Fp8:
    """Factory of `fp8`."""
    return Fp8(config)

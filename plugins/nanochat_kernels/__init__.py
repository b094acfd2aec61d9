"""Faster implementations of the core's operations."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.kernel(
        "rms_norm",
        "blocked",
        factory=".rms_norm:build_rms_norm",
        summary="Block by block, with the gradient in closed form",
        priority=10,
    )
    registrar.kernel(
        "quantize_activations",
        "blocked",
        factory=".quantize_activations:build_quantize_activations",
        summary="Block by block, in place",
        priority=10,
    )
    registrar.kernel(
        "fp8_linear",
        "scaled_mm",
        factory=".fp8_linear:build_scaled_mm",
        summary="Products of 8-bit floats on Hopper GPUs and later",
        priority=100,
        requires=("device:cuda", "compute>=9.0"),
    )
    registrar.kernel(
        "grouped_mm",
        "torch",
        factory=".grouped_mm:build_grouped_mm",
        summary="torch's grouped products, on GPUs since Ampere",
        priority=100,
        requires=("device:cuda", "compute>=8.0"),
    )
    registrar.kernel(
        "grouped_mm",
        "torch_cpu",
        factory=".grouped_mm:build_grouped_mm",
        summary="torch's grouped products, on CPUs",
        priority=10,
        requires=("device:cpu", "torch>=2.13"),
    )
    registrar.kernel(
        "gated_delta_rule",
        "chunked",
        factory=".gated_delta_rule:build_chunked",
        summary="64 positions at a time, as matrix products",
        priority=10,
    )
    registrar.kernel(
        "gated_delta_rule",
        "flash_linear_attention",
        factory=".gated_delta_rule:build_flash_linear_attention",
        summary="The Triton kernels of flash-linear-attention",
        priority=100,
        requires=("device:cuda", "package:fla"),
    )

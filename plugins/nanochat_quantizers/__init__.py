"""Roundings of weights and activations that training simulates."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.quantizer(
        "ternary",
        config=".config:TernaryConfig",
        factory=".integers:build_integers",
        summary="Weights -1, 0, +1 with a scale for each group of inputs; activations of 8 bits",
    )
    registrar.quantizer(
        "int8",
        config=".config:Int8Config",
        factory=".integers:build_integers",
        summary="Weights of 8 bits, one scale a row or a group of inputs",
    )
    registrar.quantizer(
        "int4",
        config=".config:Int4Config",
        factory=".integers:build_integers",
        summary="Weights of 4 bits, one scale for each group of inputs",
    )
    registrar.quantizer(
        "fp8",
        config=".config:Fp8Config",
        factory=".fp8:build_fp8",
        summary="Weights and activations in 8-bit floats, multiplied as such on GPUs that can",
    )

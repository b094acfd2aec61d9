"""Roundings of weights and activations that training simulates."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.quantizer(
        "ternary",
        config=".config:TernaryConfig",
        factory=".ternary:build_ternary",
        summary="Weights -1, 0, +1 with a scale for each group of inputs; activations of 8 bits",
    )

"""Weights of as many bits as you like."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.quantizer(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Weights of 2 to 8 bits, with a scale for each group of inputs",
    )

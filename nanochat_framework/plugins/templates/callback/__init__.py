"""Lengths of the weights, as a metric."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.callback(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Logs the L2 norm of the weights of each role",
    )

"""The mean of everything so far, as a sequence mixer."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.attention(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="The mean of all earlier values, gated by the present",
    )

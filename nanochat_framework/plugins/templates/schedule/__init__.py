"""A rate that falls in steps."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.schedule(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Multiplied by a factor every so often",
    )

"""Metrics as tab-separated lines."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.tracker(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Metrics as tab-separated lines: step, name, value",
    )

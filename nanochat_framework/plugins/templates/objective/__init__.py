"""A pull of the logits' mean to 0."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.objective(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Keeps the mean of the logits near 0",
    )

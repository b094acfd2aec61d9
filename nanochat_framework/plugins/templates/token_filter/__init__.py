"""Hopeless tokens are not learned from."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.token_filter(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Drops tokens that the model predicts hopelessly",
    )

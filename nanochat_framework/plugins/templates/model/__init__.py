"""A neural n-gram model."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.model(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="A neural n-gram model: the last few tokens through one hidden layer",
    )

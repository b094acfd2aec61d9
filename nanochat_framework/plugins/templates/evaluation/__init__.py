"""How many weights are 0."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.evaluation(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="The share of weights that are exactly 0",
    )

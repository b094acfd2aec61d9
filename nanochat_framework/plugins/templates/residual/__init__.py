"""A residual stream with a learned strength for each sub-layer."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.residual(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Each sub-layer's output is added with a learned strength",
    )

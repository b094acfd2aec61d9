"""A feed-forward part with GELU."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.ffn(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Two maps with GELU between them",
    )

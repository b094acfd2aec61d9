"""Layer normalisation without a bias."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.norm(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Centred and divided by the standard deviation, with a gain",
    )

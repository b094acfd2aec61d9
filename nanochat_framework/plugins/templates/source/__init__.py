"""Paragraphs of text files."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.source(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build",
        summary="Each paragraph of text files as a document",
        yields="documents",
        example=".example:paragraphs",
    )

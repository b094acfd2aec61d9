"""Whole models as JSON, out and in."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.exporter(
        "acme/widget",
        config=".config:WidgetConfig",
        factory=".widget:build_exporter",
        summary="One JSON file, for small models and curious people",
    )
    registrar.importer(
        "acme/widget",
        config=".config:WidgetImporterConfig",
        factory=".widget:build_importer",
        summary="Reads the files of the exporter",
        suffixes=(".widget",),
    )

"""What this plugin brings. Only strings are said here: nothing is imported before a configuration names it."""

from __future__ import annotations

from nanochat_framework.plugins import Panel, Registrar, hookimpl

from .slope import slope_lines

NANOCHAT_PLUGIN_API = 1
"""The version of the plugin interface that this was written for."""


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare an optimizer and an exporter, under a vendor's name so that no other plugin's can clash with them."""
    registrar.optimizer(
        "lab/adafactor",
        config=".config:AdafactorConfig",
        factory=".adafactor:build_adafactor",
        summary="Adam's step from row and column means, almost without state",
    )
    registrar.exporter(
        "lab/npz",
        config=".config:NpzConfig",
        factory=".npz:build_npz",
        summary="numpy's .npz: codes, scales and floats under their names",
    )


@hookimpl
def nanochat_panels() -> list[Panel]:
    """A panel for the dashboard's tab; `slope` imports nothing heavy, for every command imports this module."""
    return [Panel("lab/slope", "How fast the loss falls", slope_lines)]

"""What this plugin brings. Only strings are said here: nothing is imported before a configuration names it."""

from nanochat_framework.plugins import Registrar, hookimpl

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

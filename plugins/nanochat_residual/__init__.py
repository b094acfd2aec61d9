"""Residual streams."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.residual(
        "add",
        config=".config:AddConfig",
        factory=".add:build_add",
        summary="The plain residual: each sub-layer's output is added",
    )
    registrar.residual(
        "mhc",
        config=".config:MhcConfig",
        factory=".mhc:build_mhc",
        summary="Two or four streams, mixed by doubly stochastic matrices, read and written with learned strengths",
    )

"""A kernel of torch's own for the root-mean-square norm."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.kernel(
        "rms_norm",
        "acme_widget",
        factory=".widget:build",
        summary="torch's own root-mean-square norm",
        priority=20,  # above the framework's 10: this one is used wherever its requirements are met
        requires=("torch>=2.4",),
    )

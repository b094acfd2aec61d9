"""Schedules: multipliers of a hyperparameter over the steps."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.schedule(
        "wsd",
        config=".config:WsdConfig",
        factory=".wsd:build_wsd",
        summary="Warm-up, a long stable stretch, then a decay by cosine, line or root",
    )
    registrar.schedule(
        "cosine",
        config=".config:CosineConfig",
        factory=".decays:build_cosine",
        summary="Warm-up, then half a cosine down to the last step",
    )
    registrar.schedule(
        "linear",
        config=".config:LinearConfig",
        factory=".decays:build_linear",
        summary="Warm-up, then a straight line down to the last step",
    )
    registrar.schedule(
        "constant",
        config=".config:ConstantConfig",
        factory=".decays:build_constant",
        summary="Warm-up, then the full value to the end",
    )

"""Sequence mixers."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.attention(
        "gqa",
        config=".config:GqaConfig",
        factory=".gqa:build_gqa",
        summary="Causal softmax attention with grouped key/value heads and rotary positions",
    )

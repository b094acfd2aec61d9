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
    registrar.attention(
        "deltanet",
        config=".deltanet_config:DeltaNetConfig",
        factory=".deltanet:build_deltanet",
        summary="Gated delta rule: a recurrence with a matrix for memory, linear in the sequence's length",
    )
    registrar.attention(
        "hybrid",
        config=".hybrid:HybridConfig",
        factory=".hybrid:build_hybrid",
        summary="Two kinds of attention, placed over the layers by ratio or by pattern",
    )

"""Whole models, and the normalisation they share."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.model(
        "decoder",
        config=".config:DecoderConfig",
        factory=".decoder:Decoder",
        summary="Pre-norm decoder whose attention, feed-forward, norm and residual are components",
    )
    registrar.model(
        "looped",
        config=".config:LoopedConfig",
        factory=".looped:LoopedDecoder",
        summary="Decoder that runs its middle blocks several times over, with the same weights",
    )
    registrar.norm(
        "rms",
        config=".config:RmsNormConfig",
        factory=".rms_norm:build_rms_norm",
        summary="Root-mean-square norm, with or without learned gains",
    )

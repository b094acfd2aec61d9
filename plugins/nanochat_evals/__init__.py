"""Evaluations of trained models."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.evaluation(
        "bpb",
        config=".config:BitsPerByteConfig",
        factory=".bits_per_byte:build_bits_per_byte",
        summary="Bits per byte on held-out text, beside gzip and xz on the same bytes",
    )

"""Update rules."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.optimizer(
        "adamw",
        config=".config:AdamwConfig",
        factory=".adamw:build_adamw",
        summary="Adam with decoupled weight decay",
    )
    registrar.optimizer(
        "adamw_8bit",
        config=".config:Adamw8bitConfig",
        factory=".adamw_8bit:build_adamw_8bit",
        summary="torchao's AdamW with both averages in 8 bits: 2.03 bytes a parameter",
    )
    registrar.optimizer(
        "lion",
        config=".config:LionConfig",
        factory=".lion:build_lion",
        summary="Sign of an interpolated momentum; one state tensor a parameter",
    )
    registrar.optimizer(
        "lion_8bit",
        config=".config:Lion8bitConfig",
        factory=".eight_bit:build_lion_8bit",
        summary="Lion with its momentum in 8 bits: 1.03 bytes a parameter",
    )
    registrar.optimizer(
        "muon_8bit",
        config=".config:Muon8bitConfig",
        factory=".eight_bit:build_muon_8bit",
        summary="Muon with its momentum in 8 bits: 1.03 bytes a parameter",
    )
    registrar.optimizer(
        "galore",
        config=".config:GaloreConfig",
        factory=".galore:build_galore",
        summary="AdamW for matrices with its averages in a low-rank space",
    )
    registrar.optimizer(
        "muon",
        config=".config:MuonConfig",
        factory=".muon:build_muon",
        summary="Momentum orthogonalised by Newton-Schulz iterations, for matrices",
    )

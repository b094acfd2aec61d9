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
        "lion",
        config=".config:LionConfig",
        factory=".lion:build_lion",
        summary="Sign of an interpolated momentum; one state tensor a parameter",
    )
    registrar.optimizer(
        "muon",
        config=".config:MuonConfig",
        factory=".muon:build_muon",
        summary="Momentum orthogonalised by Newton-Schulz iterations, for matrices",
    )

"""Terms of the loss beside cross-entropy, and the choice of the tokens that are learned from."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.objective(
        "z_loss",
        config=".config:ZLossConfig",
        factory=".z_loss:build_z_loss",
        summary="Keeps the logits' normaliser near 1, against drifting logits",
    )
    registrar.objective(
        "label_smoothing",
        config=".config:LabelSmoothingConfig",
        factory=".label_smoothing:build_label_smoothing",
        summary="Spreads a share of each target's probability over the vocabulary",
    )
    registrar.objective(
        "entropy",
        config=".config:EntropyConfig",
        factory=".entropy:build_entropy",
        summary="Logs the predictions' entropy, and rewards or penalises it",
    )
    registrar.objective(
        "mtp",
        config=".config:MtpConfig",
        factory=".mtp:build_mtp",
        summary="Predicts further tokens with heads of its own",
    )
    registrar.objective(
        "distillation",
        config=".config:DistillationConfig",
        factory=".distillation:build_distillation",
        summary="Learns the next token's distribution from a trained model",
    )
    registrar.token_filter(
        "collider",
        config=".config:ColliderConfig",
        factory=".collider:build_collider",
        summary="Drops tokens that the model predicts well already",
    )

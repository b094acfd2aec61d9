"""Feed-forward parts."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare the components of this plugin."""
    registrar.ffn(
        "swiglu",
        config=".config:SwigluConfig",
        factory=".swiglu:build_swiglu",
        summary="Gated feed-forward with SiLU: three maps",
    )
    registrar.ffn(
        "relu2",
        config=".config:Relu2Config",
        factory=".relu2:build_relu2",
        summary="Feed-forward with squared ReLU: two maps",
    )
    registrar.ffn(
        "moe",
        config=".config:MoeConfig",
        factory=".moe:build_moe",
        summary="Mixture of SwiGLU experts, a few for each token, with an optional shared one",
    )

"""What this plugin brings. Only strings are said here: nothing is imported before a configuration names it."""

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1
"""The version of the plugin interface that this was written for."""


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Declare a sequence mixer and an evaluation."""
    registrar.attention(
        "field/aft",
        config=".config:AftConfig",
        factory=".aft:build_aft",
        summary="Attention-free: a weighted mean per channel, in linear time and constant memory",
    )
    registrar.evaluation(
        "field/brackets",
        config=".config:BracketsConfig",
        factory=".brackets:build_brackets",
        summary="How often a closing bracket in the model's own text closes the right one",
    )

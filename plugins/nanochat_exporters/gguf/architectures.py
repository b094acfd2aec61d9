"""The architectures of stock llama.cpp that models of ours go into, by what tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_framework.model.description import (
    GatedDeltaNet,
    MixtureOfExperts,
    ModelDescription,
    SoftmaxAttention,
)


@dataclass(frozen=True)
class StockArchitecture:
    """A decoder that llama.cpp knows by `name`. `llama` is one name for two: with experts and without."""

    name: str
    normed_heads: bool
    interleaved: bool
    """Whether its rotary pairs are (2 i, 2 i + 1), not (i, i + head_dim / 2)."""
    experts: bool
    """Whether its feed-forward parts are mixtures of experts."""
    gated: bool = False
    """Whether its softmax attention has an output gate, and other layers are gated delta nets."""
    shared_expert: bool = False
    """Whether every token goes to one more expert, with a gate of its own."""


LLAMA = StockArchitecture("llama", normed_heads=False, interleaved=True, experts=False)
LLAMA_EXPERTS = StockArchitecture("llama", normed_heads=False, interleaved=True, experts=True)
QWEN3 = StockArchitecture("qwen3", normed_heads=True, interleaved=False, experts=False)
QWEN3_EXPERTS = StockArchitecture("qwen3moe", normed_heads=True, interleaved=False, experts=True)
QWEN35 = StockArchitecture("qwen35", normed_heads=True, interleaved=False, experts=False, gated=True)
QWEN35_EXPERTS = StockArchitecture(
    "qwen35moe", normed_heads=True, interleaved=False, experts=True, gated=True, shared_expert=True
)
ALL = (LLAMA, LLAMA_EXPERTS, QWEN3, QWEN3_EXPERTS, QWEN35, QWEN35_EXPERTS)
NAMES = tuple(dict.fromkeys(architecture.name for architecture in ALL))


def best_fit(description: ModelDescription) -> StockArchitecture:
    """The architecture to try: by whether layers have gates, heads are normalised, and there are experts."""
    mixers = [block.mixer for block in description.blocks]
    attentions = [mixer for mixer in mixers if isinstance(mixer, SoftmaxAttention)]
    recurrent = any(isinstance(mixer, GatedDeltaNet) for mixer in mixers)
    gated = recurrent or any(attention.gate for attention in attentions)
    normed = gated or any(attention.query_norm for attention in attentions)
    experts = any(isinstance(block.ffn, MixtureOfExperts) for block in description.blocks)
    traits = (gated, normed, experts)
    return next(each for each in ALL if (each.gated, each.normed_heads, each.experts) == traits)


def named(name: str, experts: bool) -> StockArchitecture:
    """An architecture by its name in files; `experts` decides where a name has two forms."""
    forms = [each for each in ALL if each.name == name]
    return next((each for each in forms if each.experts == experts), forms[0])

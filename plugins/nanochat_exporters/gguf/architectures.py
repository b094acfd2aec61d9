"""The architectures of stock llama.cpp that models of ours go into, by what tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

from nanochat_framework.model.description import MixtureOfExperts, ModelDescription, SoftmaxAttention


@dataclass(frozen=True)
class StockArchitecture:
    """A decoder that llama.cpp knows by `name`. `llama` is one name for two: with experts and without."""

    name: str
    normed_heads: bool
    interleaved: bool
    """Whether its rotary pairs are (2 i, 2 i + 1), not (i, i + head_dim / 2)."""
    experts: bool
    """Whether its feed-forward parts are mixtures of experts."""


LLAMA = StockArchitecture("llama", normed_heads=False, interleaved=True, experts=False)
LLAMA_EXPERTS = StockArchitecture("llama", normed_heads=False, interleaved=True, experts=True)
QWEN3 = StockArchitecture("qwen3", normed_heads=True, interleaved=False, experts=False)
QWEN3_EXPERTS = StockArchitecture("qwen3moe", normed_heads=True, interleaved=False, experts=True)
ALL = (LLAMA, LLAMA_EXPERTS, QWEN3, QWEN3_EXPERTS)
NAMES = tuple(dict.fromkeys(architecture.name for architecture in ALL))


def best_fit(description: ModelDescription) -> StockArchitecture:
    """The architecture to try: by whether heads are normalised, and whether there are experts."""
    mixers = [block.mixer for block in description.blocks]
    normed = any(isinstance(mixer, SoftmaxAttention) and mixer.query_norm for mixer in mixers)
    experts = any(isinstance(block.ffn, MixtureOfExperts) for block in description.blocks)
    return next(each for each in ALL if (each.normed_heads, each.experts) == (normed, experts))


def named(name: str, experts: bool) -> StockArchitecture:
    """An architecture by its name in files; `experts` decides where a name has two forms."""
    forms = [each for each in ALL if each.name == name]
    return next((each for each in forms if each.experts == experts), forms[0])

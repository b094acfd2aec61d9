"""Floating-point operations of a token in training, from the description alone.

Convention: a multiplication with its addition is 2 operations; only matrix products and attention count; the backward
pass costs twice the forward, so training is 3 x forward (recomputation inside attention kernels and the optimizer's
own work are left out, as in every published utilisation). Attention is causal: position t sees t keys, on average
(seq_len + 1) / 2. `full_attention` counts seq_len keys for every position, as PaLM's convention (Chowdhery et
al. 2022, arXiv 2204.02311, appendix B) and torch's counter do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanochat_framework.model import roles
from nanochat_framework.model.description import (
    GatedDeltaNet,
    GatedFeedForward,
    Linear,
    MixedStreams,
    MixtureOfExperts,
    ModelDescription,
    Opaque,
    PlainFeedForward,
    SoftmaxAttention,
    ValueEmbedding,
)
from nanochat_framework.planning.inventory import Inventory
from nanochat_framework.planning.parameters import resting_parameters

TRAINING_PER_FORWARD = 3


@dataclass(frozen=True)
class FlopsPerToken:
    """Operations per token at one sequence length. `estimated` names the components that were guessed at."""

    products: int
    """Forward, matrix products: 2 for each weight that multiplies."""
    attention: float
    """Forward, causal scores and mixing."""
    full_attention: int
    """The same with every position seeing all seq_len keys."""
    parameters: int
    """Of the model, those that a token passes by, for the rule of thumb."""
    estimated: tuple[str, ...] = ()

    @property
    def forward(self) -> float:
        """Products and causal attention."""
        return self.products + self.attention

    @property
    def training(self) -> float:
        """Forward and backward."""
        return TRAINING_PER_FORWARD * self.forward

    @property
    def training_full_attention(self) -> float:
        """Forward and backward, attention not halved: comparable with MFU figures in papers."""
        return float(TRAINING_PER_FORWARD * (self.products + self.full_attention))

    @property
    def training_6n(self) -> int:
        """The rule of thumb: 6 x active parameters (Kaplan et al. 2020, arXiv 2001.08361), blind to attention and look-ups."""
        return 6 * self.parameters


def flops_per_token(inventory: Inventory, seq_len: int) -> FlopsPerToken:
    """Operations per token in sequences of seq_len tokens.

    A component without a description counts as one product with each of its matrices, which is right for linear maps,
    too much for routed experts and too little for what it does besides.
    """
    description = inventory.description
    mixers = [] if description is None else _softmax_mixers(description)
    pairs = sum(4 * mixer.n_heads * mixer.head_dim for mixer in mixers)
    multiplied = _described_weights(description) + _mixing(description) + _memories(description)
    products = 2 * (multiplied + _guessed_weights(inventory))
    return FlopsPerToken(
        products=products,
        attention=pairs * (seq_len + 1) / 2,
        full_attention=pairs * seq_len,
        parameters=sum(tensor.spec.size for tensor in inventory.model) - resting_parameters(description),
        estimated=_without_description(inventory),
    )


def linear_maps(operation: Any) -> list[Linear]:
    """The linear maps that a token passes in an operation, in the order in which they are applied."""
    if isinstance(operation, Linear):
        return [operation]
    if isinstance(operation, ValueEmbedding):
        return [operation.gate]
    if isinstance(operation, SoftmaxAttention):
        gate = [] if operation.gate is None else [operation.gate]
        return [operation.query, operation.key, operation.value, *gate, operation.output]
    if isinstance(operation, GatedDeltaNet):
        inputs = [operation.query, operation.key, operation.value, operation.gate, operation.beta, operation.decay]
        return [*inputs, operation.output]
    if isinstance(operation, GatedFeedForward):
        return [operation.gate, operation.up, operation.down]
    if isinstance(operation, PlainFeedForward):
        return [operation.up, operation.down]
    if isinstance(operation, MixtureOfExperts):
        used = [*operation.experts[: operation.n_active], *([operation.shared] if operation.shared else [])]
        maps = [operation.router, *([operation.shared_gate] if operation.shared_gate else [])]
        return maps + [linear for expert in used for linear in linear_maps(expert)]
    return []


def _described_weights(description: ModelDescription | None) -> int:
    """Weights that multiply for a token, as often as they do: maps of the blocks, and the head (or the tied table)."""
    if description is None:
        return 0
    parts = [part for block in description.executed for part in (block.mixer, block.value_embedding, block.ffn)]
    inside = sum(linear.weight.size for part in parts for linear in linear_maps(part))
    head = description.embedding.weight if description.head is None else description.head.weight
    return inside + head.size


def _mixing(description: ModelDescription | None) -> int:
    """Multiplications a token that mix several streams, and those that make the mixing depend on their content."""
    if description is None or not isinstance(description.residual, MixedStreams):
        return 0
    streams, tensors = description.residual.streams, description.residual.tensors
    sublayers, permutations = next(spec.shape for spec in tensors if spec.name.endswith("mixing_weight"))
    products = sublayers * streams**2 * description.dim
    if description.residual.dynamic:
        products += sum(spec.size for spec in tensors if len(spec.shape) == 3)
        products += sublayers * permutations * streams**2 if permutations > 1 else 0
    return products


def _memories(description: ModelDescription | None) -> int:
    """Multiplications a token with the memories of gated delta nets: each is read for the key and for the query."""
    mixers = [] if description is None else [block.mixer for block in description.executed]
    return sum(2 * m.n_value_heads * m.head_dim**2 for m in mixers if isinstance(m, GatedDeltaNet))


def _guessed_weights(inventory: Inventory) -> int:
    """Matrices of components that do not say what they compute; a table only where it must be the head as well."""
    tied = not any(tensor.spec.role == roles.HEAD for tensor in inventory.model)
    no_products = {roles.NORM, roles.QUANTIZER_SCALE, *(() if tied else (roles.EMBEDDING,))}
    return sum(
        tensor.spec.size
        for tensor in inventory
        if not tensor.described and len(tensor.spec.shape) >= 2 and tensor.spec.role not in no_products
    )


def _softmax_mixers(description: ModelDescription) -> list[SoftmaxAttention]:
    return [block.mixer for block in description.executed if isinstance(block.mixer, SoftmaxAttention)]


def _without_description(inventory: Inventory) -> tuple[str, ...]:
    opaque: list[Opaque] = [] if inventory.description is None else inventory.description.opaque()
    names = [*inventory.undescribed, *(part.component for part in opaque), *(t.part for t in inventory.objectives)]
    return tuple(dict.fromkeys(names))

"""A model's structure as data: torch-free, typed, made from configuration alone.

Every component lowers itself to these few operations with named tensors. Exporters, the planner and native engines
match on them and on nothing else. Tensor names are the parameter names of the built model (`build_model` checks that
names, shapes and roles agree). A component that has no lowering describes itself as `Opaque`: it trains and
generates, and whoever needs its structure says which component lacks it.

Shapes are (out_features, in_features) for maps, as in torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from math import prod
from typing import Any, Literal


@dataclass(frozen=True)
class TensorSpec:
    """One parameter: its full name, shape and role. `part` is what a parameter table lists it under."""

    name: str
    shape: tuple[int, ...]
    role: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Linear:
    """y = x Wᵀ (+ b)."""

    weight: TensorSpec
    bias: TensorSpec | None = None

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.weight.shape[-1]

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.weight.shape[-2]


@dataclass(frozen=True)
class Embedding:
    """Row lookup; `scale` multiplies the rows."""

    weight: TensorSpec
    scale: float = 1.0


@dataclass(frozen=True)
class RmsNorm:
    """x / sqrt(mean(x²) + eps) · w, in fp32; without a weight w is 1 (Zhang & Sennrich 2019, arXiv 1910.07467)."""

    dim: int
    eps: float
    weight: TensorSpec | None = None


@dataclass(frozen=True)
class Rotary:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864): pairs (i, i + head_dim/2), frequency theta^(-2i/head_dim).

    With a `head_dim` below that of the attention, only the first so many channels of a head are turned.
    """

    theta: float
    head_dim: int


@dataclass(frozen=True)
class SoftmaxAttention:
    """Causal softmax attention with grouped key/value heads: query head h reads key/value head h // (n_heads / n_kv_heads).

    `query_norm` and `key_norm` normalise each head before it is rotated (Qwen3). `gate` is a map of the input whose sigmoid
    multiplies the mixture, channel by channel, before `output` (Qwen3-Next). With a `window` of w a position
    sees itself and the w - 1 before it.
    """

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rotary: Rotary | None
    scale: float
    query_norm: RmsNorm | None = None
    key_norm: RmsNorm | None = None
    gate: Linear | None = None
    window: int | None = None


@dataclass(frozen=True)
class ValueEmbedding:
    """Joins the values of a block's attention: scale · σ(gate(x)) · table[token], one gate for each key/value head.

    x is the first `gate.in_features` channels of what attention reads (nanochat).
    """

    table: Embedding
    gate: Linear
    scale: float


@dataclass(frozen=True)
class GatedDeltaNet:
    """The gated delta rule with short convolutions and a gated norm (Yang et al. 2024, arXiv 2412.06464; Qwen3-Next).

    Queries, keys and values pass a depthwise causal convolution and SiLU; queries and keys are brought to length 1. Value
    head h reads key head h // (n_value_heads / n_heads). Per value head: beta = σ(beta(x)), log decay =
    -exp(decay_log) · softplus(decay(x) + decay_bias); the output is norm(o) · silu(gate(x)), then `output`.
    """

    query: Linear
    key: Linear
    value: Linear
    gate: Linear
    beta: Linear
    decay: Linear
    output: Linear
    convolution: TensorSpec
    """(channels of query, key, value in this order; taps, the newest position last)."""
    decay_log: TensorSpec
    decay_bias: TensorSpec
    norm: RmsNorm
    n_heads: int
    n_value_heads: int
    head_dim: int


@dataclass(frozen=True)
class GatedFeedForward:
    """down(activation(gate(x)) · up(x))."""

    gate: Linear
    up: Linear
    down: Linear
    activation: Literal["silu"]


@dataclass(frozen=True)
class PlainFeedForward:
    """down(activation(up(x)))."""

    up: Linear
    down: Linear
    activation: Literal["relu2"]


@dataclass(frozen=True)
class MixtureOfExperts:
    """Σ over the n_active most likely experts of gate_e · expert_e(x), plus shared(x) times its gate where there are any.

    Gates are the router's softmax over all experts, renormalised over those chosen (Mixtral's and Qwen3's rule); the
    shared expert's is the sigmoid of `shared_gate`, 1 without one. With an `expert_bias` (n_experts,) those experts are
    chosen whose probability plus bias is largest; gates do not see it.
    """

    router: Linear
    experts: tuple[GatedFeedForward, ...]
    n_active: int
    shared: GatedFeedForward | None = None
    shared_gate: Linear | None = None
    expert_bias: TensorSpec | None = None


@dataclass(frozen=True)
class AddResidual:
    """x + y, the plain stream; `streams` is how many copies of the hidden state are alive."""

    streams: int = 1


@dataclass(frozen=True)
class MixedStreams:
    """Several streams that each sub-layer reads, mixes and writes with weights of its own (mHC, arXiv 2512.24880).

    `tensors` are those weights: logits of reading and writing (2 · n_layers, streams) and of mixing (2 · n_layers, 1 or
    24 permutations in lexicographic order), and, if they depend on the streams' content as well (`dynamic`), what makes
    them so. `mixes_first` says that an output joins the streams after they are mixed.
    """

    streams: int
    mixes_first: bool
    dynamic: bool
    tensors: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Opaque:
    """A component that does not describe itself; `component` is `kind name`, `tensors` its parameters if it knows them."""

    component: str
    tensors: tuple[TensorSpec, ...] | None = None


Norm = RmsNorm | Opaque
Mixer = SoftmaxAttention | GatedDeltaNet | Opaque
FeedForward = GatedFeedForward | PlainFeedForward | MixtureOfExperts | Opaque
Residual = AddResidual | MixedStreams | Opaque
Operation = Norm | Mixer | FeedForward | Residual | Linear | Embedding


@dataclass(frozen=True)
class Block:
    """One layer: norm, mixer, norm, feed-forward, each pair written to the residual stream."""

    mixer_norm: Norm
    mixer: Mixer
    ffn_norm: Norm
    ffn: FeedForward
    value_embedding: ValueEmbedding | None = None


@dataclass(frozen=True)
class ModelDescription:
    """A whole model. `head` is None when the embedding is the head too (tied).

    `embedding_norm` stands between the embedding and the first block. With a `logit_softcap` of c a score s becomes
    c · tanh(s / c). `order` has the indices of the blocks in the order in which a token passes them, where that is not each
    once: some are run again with the same weights.
    """

    dim: int
    vocab_size: int
    max_seq_len: int
    embedding: Embedding
    blocks: tuple[Block, ...]
    residual: Residual
    final_norm: Norm
    head: Linear | None
    embedding_norm: Norm | None = None
    logit_softcap: float | None = None
    extras: tuple[Opaque, ...] = field(default=())
    order: tuple[int, ...] = ()

    @property
    def executed(self) -> tuple[Block, ...]:
        """The blocks in the order in which a token passes them, one that is run again as often as it is run."""
        return tuple(self.blocks[index] for index in self.order) or self.blocks

    def opaque(self) -> list[Opaque]:
        """The components that do not describe themselves."""
        return [operation for operation in walk(self) if isinstance(operation, Opaque)]

    def tensors(self) -> list[TensorSpec]:
        """Every parameter, in order. Raises ValueError if an opaque component does not know its own."""
        found: list[TensorSpec] = []
        for operation in walk(self):
            if isinstance(operation, TensorSpec):
                found.append(operation)
            elif isinstance(operation, Opaque) and operation.tensors is None:
                raise ValueError(f"{operation.component} does not describe its parameters")
        return found


def walk(node: Any) -> Iterator[Any]:
    """Every description object at and below `node`, parents first."""
    if isinstance(node, tuple):
        for item in node:
            yield from walk(item)
    elif is_dataclass(node) and not isinstance(node, type):
        yield node
        for part in fields(node):
            yield from walk(getattr(node, part.name))

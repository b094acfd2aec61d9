"""Configurations of the decoder and its norm, and how they describe themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nanochat_framework.config.component import AttentionConfig, ModelConfig, PartConfig
from nanochat_framework.config.selection import Select, Selected
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import (
    Block,
    Embedding,
    Linear,
    ModelDescription,
    RmsNorm,
    TensorSpec,
    ValueEmbedding,
)
from nanochat_models.depth import Rule, sizes, whole_heads
from nanochat_models.value_embeddings import ValueEmbeddingsConfig


class RmsNormConfig(PartConfig):
    """`norm = { name = "rms" }`."""

    affine: bool = Field(default=True, description="Whether there is a learned gain for each channel.")
    eps: float = Field(default=1e-6, gt=0, description="Added to the mean square before the root.")

    def describe(self, place: Place) -> RmsNorm:
        """One operation, with its gain if it has one."""
        gain = TensorSpec(place.name("weight"), (place.dim,), roles.NORM) if self.affine else None
        return RmsNorm(place.dim, self.eps, gain)


class DecoderConfig(ModelConfig):
    """`[model] name = "decoder"`: every dimension is a field, and nothing is derived unless `depth` asks for it."""

    derives_from: ClassVar[str] = "depth"

    depth: int | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Asks for sizes that follow from it by depth_rule: dim, n_layers, attention's n_heads, n_kv_heads and "
        "head_dim, ffn's hidden_dim. Sizes that are given stay as they are.",
    )
    depth_rule: Rule | None = Field(
        default=None,
        description="How sizes follow from depth: nanochat-2026 (the default) rounds the width of 64 a layer up to heads "
        "of 128 channels, nanochat-2025 makes the heads narrower instead.",
    )
    n_layers: int = Field(gt=0, examples=[2], description="Number of blocks.")
    tie_embeddings: bool = Field(default=False, description="Whether the embedding is the output head too.")
    embedding_norm: bool = Field(
        default=False, description="Whether a norm stands between the embedding and the blocks."
    )
    logit_softcap: float | None = Field(
        default=None, gt=0, description="Scores s become c · tanh(s / c), which keeps them below c; absent: they stay."
    )
    attention: Annotated[Selected[Any], Select("attention")] = Field(description="The sequence mixer of each block.")
    ffn: Annotated[Selected[Any], Select("ffn")] = Field(description="The feed-forward part of each block.")
    norm: Annotated[Selected[Any], Select("norm")] = Field(description="The norm before each sub-layer and the head.")
    residual: Annotated[Selected[Any], Select("residual")] = Field(description="How sub-layers join the stream.")
    value_embeddings: ValueEmbeddingsConfig | None = Field(
        default=None,
        description="Tables whose rows, one for each token, join the values of every other block's attention through small "
        "gates: { every, gate_channels, gate_scale }, {} for nanochat's; absent: none.",
    )

    @field_validator("depth_rule")
    @classmethod
    def _rule_gives_sizes(cls, rule: Rule | None, info: ValidationInfo) -> Rule | None:
        depth = info.data.get("depth")
        if rule is not None and depth is None and "depth" in info.data:
            raise ValueError("says how sizes follow from depth, and there is no depth")
        if rule is not None and depth is not None and not whole_heads(depth, rule):
            raise ValueError(f"gives no whole heads at depth {depth}; use nanochat-2026 or another depth")
        return rule

    @model_validator(mode="after")
    def _values_can_be_added_to(self) -> Self:
        if self.value_embeddings is not None and self.value_embeddings.gate_channels > self.dim:
            channels = self.value_embeddings.gate_channels
            raise ValueError(f"value_embeddings.gate_channels {channels} is more than dim {self.dim}")
        for layer in range(self.n_layers):
            self.added_value_heads(layer)
        return self

    @classmethod
    def derived(cls, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """All sizes, by nanochat's rules."""
        depth, rule = table.get("depth"), table.get("depth_rule", "nanochat-2026")
        if not isinstance(depth, int) or not 0 < depth <= 1000 or rule not in get_args(Rule):
            return {}
        return sizes(depth, rule)

    @property
    def order(self) -> tuple[int, ...]:
        """The blocks that a token passes, in order, by index."""
        return tuple(range(self.n_layers))

    def place(self) -> Place:
        """The place of the parts that stand outside blocks; the residual stream counts layers as they are passed."""
        return Place("", self.dim, len(self.order), self.max_seq_len)

    def block_place(self, layer: int) -> Place:
        """The place of a block."""
        return Place(f"blocks.{layer}.", self.dim, self.n_layers, self.max_seq_len, layer)

    def added_value_heads(self, layer: int) -> tuple[int, int] | None:
        """Heads that a block's value embedding adds to, and channels of each; None for a block without one.

        Raises ValueError where the block's attention takes none.
        """
        if self.value_embeddings is None or not self.value_embeddings.at(layer, self.n_layers):
            return None
        attention = self.attention.config
        place = self.block_place(layer).at("attention")
        heads = attention.value_heads(place) if isinstance(attention, AttentionConfig) else None
        if heads is None:
            raise ValueError(
                f"value_embeddings: attention {self.attention.name} of block {layer} lets nothing join its values"
            )
        return heads

    def describe(self) -> ModelDescription:
        """The whole decoder."""
        place = self.place()
        table = (self.vocab_size, self.dim)
        head = None if self.tie_embeddings else Linear(TensorSpec(place.name("head.weight"), table, roles.HEAD))
        return ModelDescription(
            dim=self.dim,
            vocab_size=self.vocab_size,
            max_seq_len=self.max_seq_len,
            embedding=Embedding(TensorSpec(place.name("embedding.weight"), table, roles.EMBEDDING)),
            blocks=tuple(self._describe_block(self.block_place(layer)) for layer in range(self.n_layers)),
            residual=self.residual.config.describe(place.at("residual")),
            final_norm=self.norm.config.describe(place.at("final_norm")),
            head=head,
            embedding_norm=self.norm.config.describe(place.at("embedding_norm")) if self.embedding_norm else None,
            logit_softcap=self.logit_softcap,
            order=self.order if self.order != tuple(range(self.n_layers)) else (),
        )

    def _describe_block(self, place: Place) -> Block:
        return Block(
            mixer_norm=self.norm.config.describe(place.at("attention_norm")),
            mixer=self.attention.config.describe(place.at("attention")),
            ffn_norm=self.norm.config.describe(place.at("ffn_norm")),
            ffn=self.ffn.config.describe(place.at("ffn")),
            value_embedding=self._describe_value_embedding(place),
        )

    def _describe_value_embedding(self, place: Place) -> ValueEmbedding | None:
        assert place.layer is not None
        heads = self.added_value_heads(place.layer)
        if self.value_embeddings is None or heads is None:
            return None
        return self.value_embeddings.describe(place.at("value_embedding"), self.vocab_size, heads)


class LoopedConfig(DecoderConfig):
    """`[model] name = "looped"`: a decoder that runs its middle blocks several times over, with the same weights."""

    n_iterations: int = Field(default=4, ge=1, le=1000, description="Times that the shared blocks are run.")
    n_layers_before: int = Field(
        default=0, ge=0, description="Blocks of n_layers that are run once, before the others."
    )
    n_layers_after: int = Field(default=0, ge=0, description="Blocks of n_layers that are run once, after the others.")

    @model_validator(mode="after")
    def _some_are_shared(self) -> Self:
        if self.n_layers_shared < 1:
            once = f"{self.n_layers_before} before and {self.n_layers_after} after"
            raise ValueError(f"no block is left to share: n_layers is {self.n_layers}, with {once}")
        return self

    @property
    def n_layers_shared(self) -> int:
        """Blocks that are run `n_iterations` times."""
        return self.n_layers - self.n_layers_before - self.n_layers_after

    @property
    def order(self) -> tuple[int, ...]:
        """Those before, the shared ones again and again, those after."""
        first, last = self.n_layers_before, self.n_layers - self.n_layers_after
        shared = tuple(range(first, last)) * self.n_iterations
        return (*range(first), *shared, *range(last, self.n_layers))

"""Configuration of value embeddings: which blocks have them, and how they describe themselves. Torch-free."""

from __future__ import annotations

from pydantic import Field

from nanochat_framework.config.component import StrictModel
from nanochat_framework.model import roles
from nanochat_framework.model.describe import Place
from nanochat_framework.model.description import Embedding, Linear, TensorSpec, ValueEmbedding


class ValueEmbeddingsConfig(StrictModel):
    """`[model.value_embeddings]`: tables of rows that join the values of some blocks' attention (nanochat, 2026)."""

    every: int = Field(
        default=2,
        gt=0,
        description="Every so many blocks one has a table, the last block always: 2 is every other one.",
    )
    gate_channels: int = Field(
        default=12, gt=0, description="Channels of the block's normalised input that its gates read, the first ones."
    )
    gate_scale: float = Field(
        default=3.0, gt=0, description="What a fully open gate multiplies the rows by; gates start half open."
    )

    def at(self, layer: int, n_layers: int) -> bool:
        """Whether a block has a table."""
        return (n_layers - 1 - layer) % self.every == 0

    def describe(self, place: Place, vocab_size: int, heads: tuple[int, int]) -> ValueEmbedding:
        """The table and the gate of a block whose attention has that many value heads of so many channels."""
        n_heads, head_dim = heads
        table = TensorSpec(place.name("table.weight"), (vocab_size, n_heads * head_dim), roles.EMBEDDING)
        gate = TensorSpec(place.name("gate.weight"), (n_heads, self.gate_channels), roles.GATE)
        return ValueEmbedding(Embedding(table), Linear(gate), self.gate_scale)

"""The decoder: embedding, blocks on a residual stream, norm, head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nanochat_framework.contracts.attention import Attention
from nanochat_framework.contracts.ffn import FeedForward
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.contracts.norm import Norm
from nanochat_framework.contracts.residual import Residual
from nanochat_framework.model import roles
from nanochat_framework.model.documents import Documents
from nanochat_framework.model.embedding import TokenEmbedding
from nanochat_framework.model.linear import Linear
from nanochat_framework.model.state import SequenceState, positions_after
from nanochat_models.config import DecoderConfig
from nanochat_models.value_embedding import ValueEmbedding


class DecoderBlock(nn.Module):
    """The parts of one layer. It never sees the residual state: the decoder reads and writes that around it."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        place = config.block_place(layer)
        self.attention_norm: Norm = config.norm.build(place=place.at("attention_norm"))
        self.attention: Attention = config.attention.build(place=place.at("attention"))
        self.ffn_norm: Norm = config.norm.build(place=place.at("ffn_norm"))
        self.ffn: FeedForward = config.ffn.build(place=place.at("ffn"))
        self.value_embedding: ValueEmbedding | None = None
        heads = config.added_value_heads(layer)
        if config.value_embeddings is not None and heads is not None:
            self.value_embedding = ValueEmbedding(config.value_embeddings, place, config.vocab_size, heads)

    def attend(
        self,
        x: Tensor,
        tokens: Tensor,
        positions: Tensor,
        state: SequenceState | None,
        documents: Documents | None,
    ) -> Tensor:
        """Attention to the normalised x (batch, seq, dim), with what the tokens add to its values."""
        added = {} if self.value_embedding is None else {"added_values": self.value_embedding(tokens, x)}
        mixed: Tensor = self.attention(x, positions, state=state, documents=documents, **added)
        return mixed


class Decoder(LanguageModel):
    """A causal decoder; see `contracts.model` for the shapes of its methods."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.vocab_size, self.max_seq_len = config.vocab_size, config.max_seq_len
        place = config.place()
        self.embedding = TokenEmbedding(config.vocab_size, config.dim)
        self.embedding_norm: Norm | None = None
        if config.embedding_norm:
            self.embedding_norm = config.norm.build(place=place.at("embedding_norm"))
        self.logit_softcap = config.logit_softcap
        self.order = config.order
        self.blocks = nn.ModuleList(DecoderBlock(config, layer) for layer in range(config.n_layers))
        self.residual: Residual = config.residual.build(place=place.at("residual"))
        self.final_norm: Norm = config.norm.build(place=place.at("final_norm"))
        self.head = None if config.tie_embeddings else Linear(config.dim, config.vocab_size, role=roles.HEAD)

    def hidden(
        self,
        tokens: Tensor,
        *,
        states: Sequence[SequenceState] | None = None,
        documents: Documents | None = None,
    ) -> Tensor:
        """Hidden states after the last norm: (batch, seq) -> (batch, seq, dim)."""
        positions = self._positions(tokens, states, documents)
        stream = self._through(range(len(self.order)), self._opened(tokens), tokens, positions, states, documents)
        return self._closed(stream)

    def _positions(self, tokens: Tensor, states: Sequence[SequenceState] | None, documents: Documents | None) -> Tensor:
        after = positions_after(states, tokens.shape[1], tokens.device)
        return after if documents is None else documents.positions

    def _opened(self, tokens: Tensor) -> Any:
        """The residual state that the first layer reads."""
        embedded = self.embedding(tokens)
        return self.residual.open(embedded if self.embedding_norm is None else self.embedding_norm(embedded))

    def _through(
        self,
        numbers: range,
        stream: Any,
        tokens: Tensor,
        positions: Tensor,
        states: Sequence[SequenceState] | None,
        documents: Documents | None,
    ) -> Any:
        """The residual state after layers, by number in the order in which they are run."""
        for number in numbers:
            state = states[number] if states else None
            stream = self.run_layer(self._layer, number, stream, tokens, positions, state, documents)
        return stream

    def _closed(self, stream: Any) -> Tensor:
        """The hidden states that the head reads."""
        normed: Tensor = self.final_norm(self.residual.close(stream))
        return normed

    def _layer(
        self,
        number: int,
        stream: Any,
        tokens: Tensor,
        positions: Tensor,
        state: SequenceState | None,
        documents: Documents | None,
    ) -> Any:
        """Attention and feed-forward of one layer, read from and written to the residual state."""
        block = self.block_of(number)
        x = block.attention_norm(self.residual.read(stream, 2 * number))
        y = block.attend(x, tokens, positions, state, documents)
        stream = self.residual.write(stream, y, 2 * number)
        x = block.ffn_norm(self.residual.read(stream, 2 * number + 1))
        return self.residual.write(stream, block.ffn(x), 2 * number + 1)

    def block_of(self, number: int) -> DecoderBlock:
        """The block that is run as layer `number`."""
        block = self.blocks[self.order[number]]
        assert isinstance(block, DecoderBlock)
        return block

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., vocab_size), float32."""
        scores = self.embedding.project(hidden) if self.head is None else self.head(hidden)
        if self.logit_softcap is None:
            return scores.float()
        # In place: of tensors this large, each copy shows in the peak of memory.
        return self.logit_softcap * scores.float().div_(self.logit_softcap).tanh_()

    def head_parameters(self) -> list[nn.Parameter]:
        """The head's weight, or the embedding's where they are tied."""
        return [self.embedding.weight if self.head is None else self.head.weight]

    def new_states(self, batch_size: int) -> list[SequenceState]:
        """One empty state for each layer that is run."""
        return [self.block_of(number).attention.new_state(batch_size) for number in range(len(self.order))]

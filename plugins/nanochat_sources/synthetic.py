"""Synthetic tokens with structure that a model can learn within a few steps."""

from __future__ import annotations

import numpy as np

from nanochat_framework.contracts.source import TokenSource
from nanochat_sources.config import SyntheticConfig


class SyntheticTokens(TokenSource):
    """Arithmetic sequences: start + step · i modulo vocab_size, with step in 1 .. 4, ten to sixty tokens each.

    After two tokens of a sequence the rest is certain; only starts and ends of sequences are random. One sequence in
    twenty is held out.
    """

    def __init__(self, config: SyntheticConfig, *, vocab_size: int) -> None:
        generator = np.random.Generator(np.random.PCG64(config.seed))
        lengths = generator.integers(10, 61, size=config.n_samples)
        starts = generator.integers(0, vocab_size, size=config.n_samples)
        steps = generator.integers(1, 5, size=config.n_samples)
        cut = max(1, config.n_samples // 20) if config.n_samples > 1 else 0
        self._validation = _sequences(lengths[:cut], starts[:cut], steps[:cut], vocab_size) if cut else None
        self._train = _sequences(lengths[cut:], starts[cut:], steps[cut:], vocab_size)
        self._lengths, self._cut = lengths, cut

    def train(self) -> np.ndarray:
        """(n,) uint32."""
        return self._train

    def validation(self) -> np.ndarray | None:
        """(n,) uint32."""
        return self._validation

    def train_starts(self) -> np.ndarray:
        """(sequences,) int64."""
        return _first_tokens(self._lengths[self._cut :])

    def validation_starts(self) -> np.ndarray:
        """(held-out sequences,) int64."""
        return _first_tokens(self._lengths[: self._cut])


def _sequences(lengths: np.ndarray, starts: np.ndarray, steps: np.ndarray, vocab_size: int) -> np.ndarray:
    """The sequences one after another: (sum of lengths,) uint32."""
    within = np.arange(int(lengths.sum())) - np.repeat(_first_tokens(lengths), lengths)
    values = np.repeat(starts, lengths) + np.repeat(steps, lengths) * within
    tokens: np.ndarray = (values % vocab_size).astype(np.uint32)
    return tokens


def _first_tokens(lengths: np.ndarray) -> np.ndarray:
    """Where sequences of these lengths start."""
    first: np.ndarray = np.cumsum(lengths) - lengths
    return first

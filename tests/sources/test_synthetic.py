"""Synthetic tokens have the structure they promise."""

from __future__ import annotations

import numpy as np
import pytest

from nanochat_sources.config import SyntheticConfig
from nanochat_sources.synthetic import SyntheticTokens


@pytest.mark.parametrize("vocab_size", [5, 300, 50_000])
def test_sequences_are_arithmetic(vocab_size: int) -> None:
    source = SyntheticTokens(SyntheticConfig(n_samples=400), vocab_size=vocab_size)
    validation = source.validation()
    assert validation is not None
    for tokens in (source.train(), validation):
        assert tokens.dtype == np.uint32
        assert tokens.max() < vocab_size
        steps = np.diff(tokens.astype(np.int64)) % vocab_size
        assert (steps[1:] == steps[:-1]).mean() > 0.9, "certain but where sequences meet"
    assert len(validation) < len(source.train()) / 10


def test_the_seed_decides() -> None:
    def train(seed: int) -> list[int]:
        return SyntheticTokens(SyntheticConfig(n_samples=20, seed=seed), vocab_size=100).train().tolist()

    assert train(1) == train(1) != train(2)


def test_one_sequence_is_all_training() -> None:
    source = SyntheticTokens(SyntheticConfig(n_samples=1), vocab_size=100)
    assert source.validation() is None
    assert 10 <= len(source.train()) <= 60

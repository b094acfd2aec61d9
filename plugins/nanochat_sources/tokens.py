"""Tokens from files that `nanochat prepare-data` made, or bare ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nanochat_framework.contracts.source import TokenSource
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_sources.config import TokensConfig


class PreparedTokens(TokenSource):
    """Memory-mapped token files with the tokenizer beside them."""

    def __init__(self, config: TokensConfig, *, vocab_size: int) -> None:
        path = Path(config.path)
        beside = path.parent / "tokenizer.json"
        self.tokenizer_path = beside if beside.is_file() else None
        self.tokenizer = Tokenizer.load(beside) if self.tokenizer_path else None
        self._train = TokenStore.open(path, vocab_size=vocab_size, tokenizer=self.tokenizer)
        held_out = Path(config.validation_path) if config.validation_path else path.parent / "val.bin"
        self._validation = None
        if config.validation_path or held_out.is_file():
            self._validation = TokenStore.open(held_out, vocab_size=vocab_size, tokenizer=self.tokenizer)

    def train(self) -> np.ndarray:
        """(n,) uint32."""
        return self._train.tokens

    def validation(self) -> np.ndarray | None:
        """(n,) uint32, None where there is no held-out file."""
        return None if self._validation is None else self._validation.tokens

    def train_starts(self) -> np.ndarray | None:
        """(documents,) uint64, from `tokens.starts.bin`."""
        return self._train.starts

    def train_scores(self) -> np.ndarray | None:
        """(documents,) float32, from `tokens.scores.bin`."""
        return self._train.scores

    def validation_starts(self) -> np.ndarray | None:
        """(documents,) uint64, from `val.starts.bin`."""
        return None if self._validation is None else self._validation.starts

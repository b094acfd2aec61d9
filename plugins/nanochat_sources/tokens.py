"""Tokens from files that `nanochat prepare-data` made, or bare ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from nanochat_framework.contracts.source import TokenSource
from nanochat_framework.data.token_store import TokenStore, read_data_json
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_sources.config import TokensConfig


class PreparedTokens(TokenSource):
    """Memory-mapped token files with the tokenizer beside them."""

    def __init__(self, config: TokensConfig, *, vocab_size: int) -> None:
        path = Path(config.path)
        beside = path.parent / "tokenizer.json"
        self.tokenizer = _tokenizer(beside, vocab_size) if beside.is_file() else None
        self.tokenizer_path = beside if self.tokenizer else None
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


def _tokenizer(path: Path, vocab_size: int) -> Tokenizer | None:
    """The tokenizer beside the tokens; None, with a warning, for a foreign one that bare tokens lie beside."""
    try:
        tokenizer = Tokenizer.load(path)
    except UsageError as error:
        if read_data_json(path.parent) is not None:
            raise
        print(f"warning: {error}; going on without it", file=sys.stderr)
        return None
    if tokenizer.vocab_size > vocab_size:
        raise UsageError(
            f"{path}: has {tokenizer.vocab_size} tokens, the model rows for {vocab_size}; set model.vocab_size to "
            f"{tokenizer.vocab_size} or more"
        )
    return tokenizer

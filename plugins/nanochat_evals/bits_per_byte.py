"""Bits per byte of held-out text: cross-entropy in bits, divided by the bytes that the tokens stand for.

Unlike nats per token it does not depend on the tokenizer, and it is the unit of compressors: gzip -9 and xz -9e are run
on the same bytes. Special tokens are scored by neither. A model that was trained with documents apart is scored with documents
apart, where the first token of each is not predicted.
"""

from __future__ import annotations

import numpy as np

from nanochat_evals.config import BitsPerByteConfig
from nanochat_framework.contracts.evaluation import Evaluation, Score, Subject
from nanochat_framework.data.baselines import compressor_baselines
from nanochat_framework.data.loader import EvaluationBatches
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.errors import UsageError
from nanochat_framework.training.evaluation import HeldOut


class BitsPerByte(Evaluation):
    """Scores the whole held-out file of a data folder."""

    def __init__(self, config: BitsPerByteConfig) -> None:
        self.config = config

    def run(self, subject: Subject) -> dict[str, Score]:
        """`eval/loss` and `eval/bits_per_byte`, the latter with compressors as baselines."""
        if subject.tokenizer is None:
            raise UsageError("bpb needs a tokenizer, and this model has none (it was trained on synthetic tokens)")
        if subject.data is None:
            raise UsageError("bpb needs held-out text: name a folder made by prepare-data with --data")
        store = TokenStore.open(subject.data / "val.bin", tokenizer=subject.tokenizer)
        batches = EvaluationBatches(
            store.tokens,
            seq_len=self.config.seq_len or subject.model.max_seq_len,
            batch_size=self.config.batch_size,
            max_batches=None,
            starts=store.starts if subject.document_attention else None,
        )
        lengths = np.zeros(subject.model.vocab_size, dtype=np.int64)
        lengths[: subject.tokenizer.vocab_size] = subject.tokenizer.byte_lengths
        scores = HeldOut(batches, lengths).score(subject.model)
        text = subject.tokenizer.decode_bytes(np.asarray(store.tokens))
        return {
            "eval/loss": Score(scores["eval/loss"], "nats/token"),
            "eval/bits_per_byte": Score(
                scores["eval/bits_per_byte"], "bits/byte", baselines=compressor_baselines(text)
            ),
        }


def build_bits_per_byte(config: BitsPerByteConfig) -> BitsPerByte:
    """Factory of `bpb`."""
    return BitsPerByte(config)

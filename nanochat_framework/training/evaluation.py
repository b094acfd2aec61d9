"""Held-out loss: plain cross-entropy in nats per token, perplexity, and bits per byte of text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.loader import IGNORED_TARGET, Batch
from nanochat_framework.training.head_loss import HeadLoss
from nanochat_framework.training.world import World

CHUNK_ROWS = 1024


@dataclass(frozen=True)
class HeldOut:
    """Held-out batches, always the same in the same order.

    `byte_lengths` (vocab_size,) int64 gives the bytes of text of each token, 0 for special tokens; None when there is
    no tokenizer, and then there are no bits per byte. Special tokens count for the loss, not for bits per byte.
    """

    batches: Iterable[Batch]
    byte_lengths: np.ndarray | None

    @torch.no_grad()
    def score(self, model: LanguageModel, world: World | None = None) -> dict[str, float]:
        """`eval/loss`, `eval/perplexity` and, with a tokenizer, `eval/bits_per_byte`.

        The processes of a world share the batches out, and all get the scores.
        """
        world = world or World()
        was_training = model.training
        model.eval()
        head = HeadLoss(model, {}, CHUNK_ROWS)
        nats = text_nats = tokens = n_bytes = 0.0
        lengths = None if self.byte_lengths is None else torch.from_numpy(self.byte_lengths.astype(np.int64))
        for number, batch in enumerate(self.batches):
            if number % world.size != world.rank:
                continue
            moved = batch.to(model.device)
            losses = head.token_losses(model.hidden(moved.tokens, documents=moved.documents), moved.targets)
            losses, valid = losses.cpu().double(), batch.targets != IGNORED_TARGET  # mps has no float64
            nats += float(losses[valid].sum())
            tokens += int(valid.sum())
            if lengths is not None:
                bytes_here = lengths[batch.targets.clamp_min(0)] * valid
                text_nats += float(losses[bytes_here > 0].sum())
                n_bytes += int(bytes_here.sum())
        model.train(was_training)
        nats, text_nats, tokens, n_bytes = world.sum_values([nats, text_nats, tokens, n_bytes])
        if tokens == 0:
            return {}
        scores = {"eval/loss": nats / tokens, "eval/perplexity": math.exp(min(nats / tokens, 700.0))}
        if n_bytes:
            scores["eval/bits_per_byte"] = text_nats / math.log(2) / n_bytes
        return scores

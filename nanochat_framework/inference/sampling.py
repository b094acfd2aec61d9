"""Choosing the next token: temperature, top-k, top-p, with a seed of its own for each sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat_framework.errors import NanochatError, UsageError

_LEAST_TEMPERATURE = 1e-6
"""Below it the most likely token has all the probability that float32 can tell from 1."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    temperature divides the logits; 0 takes the most likely token (the lowest id among equals). top_k keeps the k most likely
    tokens, 0 keeps all. top_p keeps the smallest set of most likely tokens whose probabilities, after temperature and
    top_k, sum to at least top_p (Holtzman et al. 2020, arXiv 1904.09751); 1 keeps all. One seed draws the same tokens
    again on the same machine. Raises UsageError for values that mean nothing.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature must be 0 (greedy) or more, not {self.temperature:g}")
        if self.top_k < 0:
            raise UsageError(f"top_k must be 0 (all tokens) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be at least 0 and below 2**63, not {self.seed}")


class Sampler:
    """Draws tokens one after the other from its own generator; the global one is left alone."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def draw(self, logits: Tensor) -> int:
        """A token id from logits (vocab_size,), float32, on any device. Raises NanochatError if they are not numbers."""
        if self.sampling.temperature == 0:
            return _most_likely(logits)
        scores, ids = candidates(logits.detach().to("cpu", torch.float32), self.sampling)
        chosen = torch.multinomial(torch.softmax(scores, dim=-1), 1, generator=self._generator)
        return int(ids[chosen])


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn: scores (n,) and ids (n,), n >= 1; softmax(scores) are their probabilities.

    Where tokens are left out they come most likely first, the lowest id first among equals. logits: (vocab_size,)
    float32 on the CPU; temperature must be above 0. Raises NanochatError if the logits are not numbers.
    """
    _check(logits)
    temperature = max(sampling.temperature, _LEAST_TEMPERATURE)
    ids = torch.arange(len(logits))
    if 0 < sampling.top_k < len(logits):
        ids = (logits >= torch.topk(logits, sampling.top_k).values[-1]).nonzero().flatten()
    elif sampling.top_p == 1:
        return (logits - logits.max()) / temperature, ids
    order = torch.sort(logits[ids], descending=True, stable=True)
    scores, ids = (order.values - order.values[0]) / temperature, ids[order.indices]
    if sampling.top_k:
        scores, ids = scores[: sampling.top_k], ids[: sampling.top_k]
    if sampling.top_p < 1:
        probabilities = torch.softmax(scores.double(), dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        keep = max(1, int((before < sampling.top_p).sum()))
        scores, ids = scores[:keep], ids[:keep]
    return scores, ids


def _most_likely(logits: Tensor) -> int:
    _check(logits)
    return int((logits == logits.max()).nonzero()[0])


def _check(logits: Tensor) -> None:
    if torch.isnan(logits).any() or not torch.isfinite(logits.max()):
        raise NanochatError("the model's scores are not numbers (NaN or infinite); its weights are damaged")

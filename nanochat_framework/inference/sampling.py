"""Drawing a token from a model's scores, with a seed of its own for each sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.inference.settings import SamplingSettings

_LEAST_TEMPERATURE = 1e-6
"""Below it the most likely token has all the probability that float32 can tell from 1."""


class Sampler:
    """Draws the tokens of one sequence from its own generator; the global one is left alone."""

    def __init__(self, settings: SamplingSettings, prompt: Sequence[int] = ()) -> None:
        """`prompt` are the tokens before the first draw: the repetition penalty counts them."""
        self.settings = settings
        self._penalties = Penalties(settings, prompt) if settings.changes_scores else None
        self._generator: torch.Generator | None = None

    def draw(self, logits: Tensor) -> int:
        """A token id from logits (vocab_size,), float32, on any device.

        Raises NanochatError if they are not numbers, UsageError if a biased token is not among them.
        """
        scores = logits.detach().to("cpu", torch.float32)
        if self._penalties is not None:
            scores = self._penalties.applied(scores)
        token = _most_likely(scores) if self.settings.temperature == 0 else self._random(scores)
        if self._penalties is not None:
            self._penalties.count(token)
        return token

    def _random(self, scores: Tensor) -> int:
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.settings.seed)
        kept, ids = candidates(scores, self.settings)
        chosen = torch.multinomial(torch.softmax(kept, dim=-1), 1, generator=self._generator)
        return int(ids[chosen])


class Penalties:
    """Bias and penalties of one sequence: steps 1 to 3 of `SamplingSettings`."""

    def __init__(self, settings: SamplingSettings, prompt: Sequence[int] = ()) -> None:
        self._settings, self._prompt = settings, prompt
        self._bias = self._counts = self._seen = torch.empty(0)

    def count(self, token: int) -> None:
        """Take a drawn token into account from now on."""
        self._counts[token] += 1
        self._seen[token] = True

    def applied(self, logits: Tensor) -> Tensor:
        """(vocab_size,) float32 on the CPU -> the same, changed; the argument is left alone."""
        settings = self._settings
        if len(self._counts) != len(logits):
            self._size(len(logits))
        scores = logits + self._bias
        if settings.repetition_penalty != 1:
            penalty = settings.repetition_penalty
            scores = torch.where(self._seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        if settings.frequency_penalty or settings.presence_penalty:
            scores -= self._counts * settings.frequency_penalty + (self._counts > 0) * settings.presence_penalty
        return scores

    def _size(self, vocab_size: int) -> None:
        """Make the tables at the first scores, which tell how many tokens can be drawn."""
        self._bias, self._counts = torch.zeros(vocab_size), torch.zeros(vocab_size)
        self._seen = torch.zeros(vocab_size, dtype=torch.bool)
        self._seen[[token for token in self._prompt if token < vocab_size]] = True
        for token, bias in self._settings.logit_bias.items():
            if token >= vocab_size:
                raise UsageError(f"logit_bias: there is no token {token}; the vocabulary has {vocab_size}")
            self._bias[token] = bias


def candidates(scores: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn, steps 4 to 7 of `SamplingSettings`.

    Args:
        scores: (vocab_size,) float32 on the CPU, bias and penalties applied.
        settings: its temperature must be above 0.

    Returns:
        Scores (n,) and ids (n,), n >= 1; softmax(scores) are their probabilities. Where tokens are left out they come
        most likely first, the lowest id first among equals.

    Raises:
        NanochatError: if the scores are not numbers.
    """
    top = _check(scores)
    temperature = max(settings.temperature, _LEAST_TEMPERATURE)
    limited = 0 < settings.top_k < len(scores)
    if not limited and settings.top_p == 1 and settings.min_p == 0:
        return (scores - top) / temperature, torch.arange(len(scores))
    least = top + temperature * math.log(settings.min_p) if settings.min_p else -math.inf
    if limited:
        least = max(least, float(torch.topk(scores, settings.top_k, sorted=False).values.min()))
    ids = (scores >= least).nonzero().flatten()
    order = torch.sort(scores[ids], descending=True, stable=True)
    kept, ids = (order.values - order.values[0]) / temperature, ids[order.indices]
    if limited:
        kept, ids = kept[: settings.top_k], ids[: settings.top_k]
    if settings.top_p < 1:
        probabilities = torch.softmax(kept.double(), dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        n_kept = max(1, int((before < settings.top_p).sum()))
        kept, ids = kept[:n_kept], ids[:n_kept]
    return kept, ids


def _most_likely(scores: Tensor) -> int:
    return int((scores == _check(scores)).nonzero()[0])


def _check(scores: Tensor) -> float:
    """The largest score (NaN if any is NaN)."""
    top = float(scores.max())
    if not math.isfinite(top):
        raise NanochatError("the model's scores are not numbers (NaN or infinite); its weights are damaged")
    return top

"""Log-probabilities of tokens, as the model gives them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability."""

    token: int
    logprob: float


@dataclass(frozen=True)
class DrawnLogprob(TokenLogprob):
    """A token that was drawn, and beside it the most likely ones (likeliest first; it may be among them or not)."""

    top: tuple[TokenLogprob, ...]


def drawn_logprob(logits: Tensor, token: int, n_top: int) -> DrawnLogprob:
    """Of a token drawn from logits (vocab_size,).

    The distribution is the model's own, softmax(logits): bias, penalties, temperature and filters change what is drawn,
    not what is reported (as OpenAI and vLLM do).
    """
    logprobs = torch.log_softmax(logits.detach().float(), dim=-1)
    values, ids = logprobs.topk(min(n_top, len(logprobs)))
    likeliest = zip(ids.tolist(), values.tolist(), strict=True)
    return DrawnLogprob(token, float(logprobs[token]), tuple(TokenLogprob(*each) for each in likeliest))

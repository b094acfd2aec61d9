"""A prompt that has been read: its states can be continued any number of times without reading it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.errors import UsageError
from nanochat_framework.model.state import SequenceState


@dataclass(frozen=True)
class Prefix:
    """Tokens read, the states after them, and the scores of the next token: (vocab_size,) float32."""

    tokens: tuple[int, ...]
    states: list[SequenceState]
    logits: Tensor

    def fork(self) -> Prefix:
        """The same prefix with states of its own."""
        return Prefix(self.tokens, [state.fork() for state in self.states], self.logits)


def read_prompt(model: LanguageModel, tokens: Sequence[int], *, after: Prefix | None = None) -> Prefix:
    """Read tokens, at the start or `after` a prefix (whose own states are not touched).

    Raises UsageError where there are none, where one is no token of the model, or where they exceed its context.
    """
    seen = after.tokens if after else ()
    check_prompt(model, tokens, n_before=len(seen))
    states = [state.fork() for state in after.states] if after else model.new_states(1)
    return Prefix((*seen, *tokens), states, next_logits(model, tokens, states))


def check_prompt(model: LanguageModel, tokens: Sequence[int], *, n_before: int = 0) -> None:
    """Whether the model can read tokens, `n_before` others before them. Raises UsageError as `read_prompt` does."""
    if not tokens:
        raise UsageError("the prompt has no tokens")
    if not all(0 <= token < model.vocab_size for token in tokens):
        raise UsageError(f"the prompt has tokens outside the model's vocabulary of {model.vocab_size}")
    length = n_before + len(tokens)
    if length > model.max_seq_len:
        raise UsageError(f"the prompt is {length} tokens long, the model reads at most {model.max_seq_len}")


@torch.no_grad()
def next_logits(model: LanguageModel, tokens: Sequence[int], states: list[SequenceState]) -> Tensor:
    """Scores of the token after `tokens`, which continue what the states have seen: (vocab_size,) float32."""
    ids = torch.tensor([list(tokens)], dtype=torch.int64, device=model.device)
    hidden = model.hidden(ids, states=states)
    logits: Tensor = model.logits(hidden[:, -1])[0]
    return logits

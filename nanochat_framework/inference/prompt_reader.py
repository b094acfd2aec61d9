"""Reads one prompt after another, and of one that begins as the last did only what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.inference.prefix import Prefix, check_prompt, read_prompt

CHUNK = 256
"""Tokens between two looks at whether the reading is still wanted."""


class PromptReader:
    """Keeps what was read last: the next turn of a conversation begins with all that were before.

    Scores agree with those of a prompt that is read at once to the accuracy of the arithmetic, not in every bit.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._last: Prefix | None = None
        self.n_new = 0
        """Tokens of the last prompt that had to be read."""

    def read(self, tokens: Sequence[int], *, stopped: Callable[[], bool] = lambda: False) -> Prefix | None:
        """The prompt's prefix, to be forked before it is gone on from; None where `stopped` became true on the way.

        Raises UsageError as `check_prompt` does.
        """
        check_prompt(self._model, tokens)
        last = self._last
        known = last if last is not None and tuple(tokens[: len(last.tokens)]) == last.tokens else None
        n_known = len(known.tokens) if known else 0
        self.n_new = len(tokens) - n_known
        for start in range(n_known, len(tokens), CHUNK):
            if stopped():
                return None
            known = read_prompt(self._model, tokens[start : start + CHUNK], after=known)
        self._last = known
        return known

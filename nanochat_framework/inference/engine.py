"""Generation from one prompt: tokens drawn one after the other, shown as text as soon as it is certain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.inference.continuation import Completion, Continuation
from nanochat_framework.inference.prefix import Prefix, next_logits, read_prompt
from nanochat_framework.inference.settings import GenerationSettings


class TextGenerator:
    """Generates with one model and its tokenizer; each call stands alone and several may be open at a time."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.n_tokens = min(model.vocab_size, tokenizer.vocab_size)
        """Tokens that can be drawn: a model may have more rows than its tokenizer has tokens."""

    def prompt(self, text: str | bytes) -> list[int]:
        """Ids of a text (or any bytes) at the start of a document: what documents begin with, then the text."""
        return [*self.tokenizer.start_ids, *self.tokenizer.encode(text)]

    def generate(
        self,
        prompt: Sequence[int] | Prefix,
        settings: GenerationSettings,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> Completion:
        """Go on from a prompt to the end; `on_text` is called with each piece of text. Raises as `stream` does."""
        stream = self.stream(prompt, settings)
        for piece in stream:
            if on_text is not None:
                on_text(piece)
        return stream.completion

    def stream(self, prompt: Sequence[int] | Prefix, settings: GenerationSettings) -> TextStream:
        """Go on from a prompt, or from a prefix that was read before (which stays as it is): a piece for each token.

        Raises UsageError where the prompt is empty, foreign or too long for the model.
        """
        started = time.perf_counter()
        prefix = prompt.fork() if isinstance(prompt, Prefix) else read_prompt(self.model, prompt)
        continuation = self.continuation(prefix.tokens, settings)
        if not isinstance(prompt, Prefix):
            continuation.completion.prompt_seconds = time.perf_counter() - started
        return TextStream(self._pieces(prefix, continuation), continuation.completion)

    def continuation(self, prompt: Sequence[int], settings: GenerationSettings) -> Continuation:
        """What turns this model's scores after `prompt` into text."""
        return Continuation(prompt, settings, self.tokenizer, max_seq_len=self.model.max_seq_len)

    def _pieces(self, prefix: Prefix, continuation: Continuation) -> Iterator[str]:
        completion, logits = continuation.completion, prefix.logits
        while True:
            started = time.perf_counter()
            piece = continuation.advance(logits[: self.n_tokens])
            completion.seconds += time.perf_counter() - started
            yield piece
            if continuation.finished:
                return
            started = time.perf_counter()
            logits = next_logits(self.model, completion.tokens[-1:], prefix.states)
            completion.seconds += time.perf_counter() - started


class TextStream:
    """Pieces of text, one a token and none with half a character, so some are empty.

    `completion` is whole when they are all taken.
    """

    def __init__(self, pieces: Iterator[str], completion: Completion) -> None:
        self._pieces, self.completion = pieces, completion

    def __iter__(self) -> Iterator[str]:
        return self._pieces

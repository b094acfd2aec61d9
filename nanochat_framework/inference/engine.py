"""Generation: tokens drawn one after the other, shown as text as soon as it is certain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.stream_decoder import StreamDecoder
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.prefix import Prefix, next_logits, read_prompt
from nanochat_framework.inference.sampling import Sampler, Sampling
from nanochat_framework.inference.stop_strings import StopStrings

FinishReason = Literal["stop", "length", "context"]
"""stop: a stop token or string; length: `max_tokens` drawn; context: the model's longest sequence is full."""


@dataclass(frozen=True)
class GenerationSettings:
    """How to go on from a prompt.

    `stop_ids` end the text where they are drawn and are no part of it; None: the end of a document (eos, or the next
    one's bos).
    """

    max_tokens: int = 256
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {self.max_tokens}")


@dataclass
class Completion:
    """What was generated, and how fast; it grows while it is generated.

    `tokens` are the ids drawn, without a stop token; `text` ends before a stop string. `prompt_seconds` is the time to
    read the prompt (0 when a `Prefix` was given), `seconds` the time of drawing and feeding back, which leaves out
    whatever the caller does with the text in between.
    """

    prompt_tokens: int
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    prompt_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn in a second, the prompt left out; 0 before the second token."""
        return (len(self.tokens) - 1) / self.seconds if len(self.tokens) > 1 and self.seconds > 0 else 0.0


class TextGenerator:
    """Generates with one model and its tokenizer; each call stands alone and several may be open at a time."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._n_tokens = min(model.vocab_size, tokenizer.vocab_size)

    def prompt(self, text: str | bytes) -> list[int]:
        """Ids of a text (or any bytes) at the start of a document: bos, then the text."""
        return [self.tokenizer.bos_id, *self.tokenizer.encode(text)]

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
        """Go on from a prompt, or from a prefix that was read before (which stays as it is), a piece at a time.

        Raises UsageError where the prompt is empty, foreign or too long for the model.
        """
        started = time.perf_counter()
        prefix = prompt.fork() if isinstance(prompt, Prefix) else read_prompt(self.model, prompt)
        completion = Completion(prompt_tokens=len(prefix.tokens))
        if not isinstance(prompt, Prefix):
            completion.prompt_seconds = time.perf_counter() - started
        return TextStream(self._pieces(prefix, settings, completion), completion)

    def _pieces(self, prefix: Prefix, settings: GenerationSettings, completion: Completion) -> Iterator[str]:
        decoder, stops = StreamDecoder(self.tokenizer), StopStrings(settings.stop)
        for token in self._tokens(prefix, settings, completion):
            shown = stops.feed(decoder.push(token))
            if stops.matched is not None:
                completion.finish_reason = "stop"
            if shown:
                completion.text += shown
                yield shown
            if stops.matched is not None:
                return
        rest = stops.feed(decoder.flush()) + stops.flush()
        if stops.matched is not None:
            completion.finish_reason = "stop"
        if rest:
            completion.text += rest
            yield rest

    def _tokens(self, prefix: Prefix, settings: GenerationSettings, completion: Completion) -> Iterator[int]:
        """Draw until a stop token, `max_tokens` or the end of the context; sets the completion's finish reason."""
        sampler, logits = Sampler(settings.sampling), prefix.logits
        document_end = frozenset((self.tokenizer.bos_id, self.tokenizer.eos_id))
        stop_ids = document_end if settings.stop_ids is None else settings.stop_ids
        while True:
            started = time.perf_counter()
            token = sampler.draw(logits[: self._n_tokens])
            if token in stop_ids:
                completion.finish_reason = "stop"
                return
            completion.tokens.append(token)
            if len(completion.tokens) == settings.max_tokens:
                completion.finish_reason = "length"
            elif completion.prompt_tokens + len(completion.tokens) > self.model.max_seq_len:
                completion.finish_reason = "context"
            completion.seconds += time.perf_counter() - started
            yield token
            if completion.finish_reason is not None:
                return
            started = time.perf_counter()
            logits = next_logits(self.model, [token], prefix.states)
            completion.seconds += time.perf_counter() - started


class TextStream:
    """Pieces of text, none with half a character; `completion` is whole when they are all taken."""

    def __init__(self, pieces: Iterator[str], completion: Completion) -> None:
        self._pieces, self.completion = pieces, completion

    def __iter__(self) -> Iterator[str]:
        return self._pieces

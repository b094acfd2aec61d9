"""One text while it is generated: scores in, a token to feed back and a piece of text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from nanochat_framework.data.stream_decoder import StreamDecoder
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.inference.logprobs import DrawnLogprob, drawn_logprob
from nanochat_framework.inference.sampling import Sampler
from nanochat_framework.inference.settings import GenerationSettings
from nanochat_framework.inference.stop_strings import StopStrings

FinishReason = Literal["stop", "length", "context"]
"""stop: a stop token or string; length: `max_tokens` drawn; context: the model's longest sequence is full."""


@dataclass
class Completion:
    """What was generated, and how fast; it grows while it is generated.

    `tokens` are the ids drawn, without a stop token; `text` ends before a stop string. `logprobs` has one entry a token
    where the settings ask for them. `prompt_seconds` is the time to read the prompt (0 where it had been read before),
    `seconds` the time of drawing and feeding back, which leaves out whatever the caller does with the text in between.
    """

    prompt_tokens: int
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[DrawnLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    prompt_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn in a second, the prompt left out; 0 before the second token."""
        return (len(self.tokens) - 1) / self.seconds if len(self.tokens) > 1 and self.seconds > 0 else 0.0


class Continuation:
    """Draws the tokens of one sequence and turns them into text; whoever runs the model drives it."""

    def __init__(
        self, prompt: Sequence[int], settings: GenerationSettings, tokenizer: Tokenizer, *, max_seq_len: int
    ) -> None:
        self.settings, self.completion = settings, Completion(prompt_tokens=len(prompt))
        self._sampler, self._stops = Sampler(settings.sampling, prompt), StopStrings(settings.stop)
        self._decoder, self._max_seq_len = StreamDecoder(tokenizer), max_seq_len
        self._stop_ids = tokenizer.end_ids if settings.stop_ids is None else settings.stop_ids

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.completion.finish_reason is not None

    def advance(self, logits: Tensor) -> str:
        """Draw the next token from the scores (n_tokens,) of those that have text; return what may be shown now.

        Not to be called once it is finished; until then `completion.tokens[-1]` is what the model reads next. Raises as
        `Sampler.draw` does.
        """
        completion = self.completion
        token = self._sampler.draw(logits)
        if token in self._stop_ids:
            completion.finish_reason = "stop"
            return self._show(self._decoder.flush(), last=True)
        completion.tokens.append(token)
        if self.settings.logprobs is not None:
            completion.logprobs.append(drawn_logprob(logits, token, self.settings.logprobs))
        if len(completion.tokens) == self.settings.max_tokens:
            completion.finish_reason = "length"
        elif completion.prompt_tokens + len(completion.tokens) > self._max_seq_len:
            completion.finish_reason = "context"
        text = self._decoder.push(token)
        return self._show(text + self._decoder.flush() if self.finished else text, last=self.finished)

    def _show(self, text: str, *, last: bool) -> str:
        shown = self._stops.feed(text)
        if self._stops.matched is not None:
            self.completion.finish_reason = "stop"
        elif last:
            shown += self._stops.flush()
        self.completion.text += shown
        return shown

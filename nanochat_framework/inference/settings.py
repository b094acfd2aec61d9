"""How to go on from a prompt: what is drawn from, and where the text ends. Torch-free, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nanochat_framework.errors import UsageError

LARGEST_BIAS = 100.0
"""As in OpenAI's interface: a bias of this size decides against any score a model gives."""
_Rule = tuple[Callable[[Any], bool], str]


class SettingError(UsageError):
    """A setting that means nothing: `setting` is its name, `fault` what it must be and what it was."""

    def __init__(self, setting: str, fault: str) -> None:
        super().__init__(f"{setting} {fault}")
        self.setting, self.fault = setting, fault


@dataclass(frozen=True)
class SamplingSettings:
    """How a token is drawn. The steps are vLLM's, in its order; `sampling.candidates` says them exactly.

    1. `logit_bias` (token id -> -100 to 100) is added to the scores.
    2. `repetition_penalty`: scores of tokens in the prompt or the text so far are divided by it where positive and
       multiplied where negative (Keskar et al. 2019, arXiv 1909.05858, as in transformers); 1 changes nothing.
    3. `frequency_penalty` · (times drawn so far) and `presence_penalty` (if drawn at all) are subtracted: -2 to 2, the
       prompt does not count (OpenAI's rule).
    4. `temperature` divides; 0 takes the most likely token (the lowest id among equals) and ends here.
    5. `min_p` keeps tokens at least that share as likely as the likeliest; 0 keeps all.
    6. `top_k` keeps the k most likely of these; 0 keeps all.
    7. `top_p` keeps the smallest set of most likely ones whose probabilities, summing to 1 after the steps before, reach
       it (Holtzman et al. 2020, arXiv 1904.09751); 1 keeps all.

    One seed draws the same tokens again on the same machine. Raises SettingError for values that mean nothing.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    seed: int = 0

    def __post_init__(self) -> None:
        for setting, rule in _SAMPLING.items():
            _check(setting, getattr(self, setting), rule)
        for token, bias in self.logit_bias.items():
            _check("logit_bias", token, _whole(0, math.inf, "from token ids, 0 or more"))
            _check("logit_bias", bias, _within(-LARGEST_BIAS, LARGEST_BIAS))

    @property
    def changes_scores(self) -> bool:
        """Whether bias or penalties change scores before the temperature does."""
        penalties = self.presence_penalty, self.frequency_penalty, self.repetition_penalty - 1.0
        return bool(self.logit_bias) or any(penalties)


@dataclass(frozen=True)
class GenerationSettings:
    """How to go on from a prompt.

    `stop` are texts that end the text before them. `stop_ids` end it where they are drawn and are no part of it; None:
    the end of a document (eos, or the next one's bos). `logprobs` asks for the log-probability of each drawn token and
    of so many of the likeliest ones; None asks for none. They are the model's own, before any step of `sampling`.
    """

    max_tokens: int = 256
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        _check("max_tokens", self.max_tokens, _whole(1, math.inf, "at least 1"))
        if self.logprobs is not None:
            _check("logprobs", self.logprobs, _whole(0, math.inf, "0 (the drawn token alone) or more"))
        if any(not text for text in self.stop):
            raise SettingError("stop", "must not be empty; leave it out to generate without one")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(least: float, above: float, words: str) -> _Rule:
    return (lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value < above), words


def _within(least: float, most: float, words: str = "") -> _Rule:
    return (lambda value: _number(value) and least <= value <= most), words or f"between {least:g} and {most:g}"


_SAMPLING: dict[str, _Rule] = {
    "temperature": (lambda value: _number(value) and 0 <= value < math.inf, "0 (greedy) or more"),
    "top_k": _whole(0, math.inf, "0 (all tokens) or more"),
    "top_p": (lambda value: _number(value) and 0 < value <= 1, "above 0 and at most 1 (all tokens)"),
    "min_p": (lambda value: _number(value) and 0 <= value < 1, "0 (all tokens) or more, and below 1"),
    "repetition_penalty": (lambda value: _number(value) and 0 < value < math.inf, "above 0; 1 changes nothing"),
    "presence_penalty": _within(-2, 2),
    "frequency_penalty": _within(-2, 2),
    "seed": _whole(0, 2**63, "0 or more, and below 2**63"),
}


def _check(setting: str, value: Any, rule: _Rule) -> None:
    holds, words = rule
    if not holds(value):
        raise SettingError(setting, f"must be {words}, not {value:g}" if _number(value) else f"must be {words}")

"""Does a model that writes code keep track of its brackets?

It goes on from prompts; of all closing brackets in what it writes, the share is counted that close the last one open. 50 %
would mean that it tosses a coin, and a parser would give up at the first wrong one. Brackets that are still open at the end
are no mistake: the text was cut off.

Two figures stand beside it. `shuffled` is the same share after the brackets of each text have traded places at random:
what a model reaches that knows how many of each there are and nothing of nesting. `held-out text` is that of the text the
model was trained to write, cut into pieces of the same length: brackets in strings and comments keep it below 100 %.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from math import sqrt

import numpy as np

from nanochat_framework.contracts.evaluation import Evaluation, Score, Subject
from nanochat_framework.data.token_store import TokenStore
from nanochat_framework.errors import UsageError
from nanochat_framework.inference.batch import BatchGenerator
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings

from .config import BracketsConfig

OPENS = {")": "(", "]": "[", "}": "{"}
BRACKETS = re.compile(r"[()\[\]{}]")
AT_A_TIME = 16
PIECES = 64
"""Pieces of held-out text that are looked at."""


class BracketsEvaluation(Evaluation):
    """Writes texts, always the same for one model, and counts."""

    def __init__(self, config: BracketsConfig) -> None:
        self.config = config

    def run(self, subject: Subject) -> dict[str, Score]:
        """Raises UsageError for a model without a tokenizer, or one that has written no closing bracket."""
        if subject.tokenizer is None:
            raise UsageError("field/brackets needs a tokenizer, and this model has none")
        texts = self._write(TextGenerator(subject.model, subject.tokenizer))
        right, total = matched(texts)
        if not total:
            raise UsageError(
                f"field/brackets: {len(texts)} texts have no closing bracket; train longer, or give other prompts"
            )
        share = right / total
        error = sqrt(share * (1 - share) / total)
        baselines = {"shuffled": _percent(matched(shuffled(texts)))}
        held_out = self._held_out(subject)
        if matched(held_out)[1]:
            baselines["held-out text"] = _percent(matched(held_out))
        return {
            "eval/brackets_matched": Score(100 * share, "%", standard_error=100 * error, baselines=baselines),
            "eval/brackets_closed": Score(float(total), "brackets"),
        }

    def _write(self, generator: TextGenerator) -> list[str]:
        """The prompts with what the model makes of them; each text draws with a seed of its own."""
        batch = BatchGenerator(generator, AT_A_TIME)
        begun = []
        for prompt in self.config.prompts:
            for seed in range(self.config.samples_per_prompt):
                sampling = SamplingSettings(temperature=self.config.temperature, seed=seed)
                settings = GenerationSettings(self.config.max_tokens, sampling)
                begun.append((prompt, batch.add(generator.prompt(prompt), settings).completion))
        while batch.busy:
            batch.step()
        return [prompt + completion.text for prompt, completion in begun]

    def _held_out(self, subject: Subject) -> list[str]:
        """Pieces of the held-out text, evenly spread; none where there is no data folder."""
        assert subject.tokenizer is not None
        path = subject.data / "val.bin" if subject.data else None
        if path is None or not path.is_file():
            return []
        tokens = TokenStore.open(path, tokenizer=subject.tokenizer).tokens
        last = max(len(tokens) - self.config.max_tokens, 0)
        starts = np.linspace(0, last, num=min(PIECES, last + 1), dtype=int)
        pieces = (np.asarray(tokens[start : start + self.config.max_tokens]) for start in starts)
        return [subject.tokenizer.decode_bytes(piece).decode(errors="replace") for piece in pieces]


def matched(texts: Iterable[str]) -> tuple[int, int]:
    """How many closing brackets close the last one open, and how many there are; a wrong one closes nothing."""
    right = total = 0
    for text in texts:
        opened: list[str] = []
        for bracket in BRACKETS.findall(text):
            if bracket not in OPENS:
                opened.append(bracket)
                continue
            total += 1
            if opened and opened[-1] == OPENS[bracket]:
                opened.pop()
                right += 1
    return right, total


def shuffled(texts: Sequence[str]) -> list[str]:
    """Each text with its brackets in another order, and everything else where it was."""
    draw = random.Random(0)
    result = []
    for text in texts:
        brackets = BRACKETS.findall(text)
        draw.shuffle(brackets)
        result.append(BRACKETS.sub(lambda _: brackets.pop(), text))  # noqa: B023 (used up before the next turn)
    return result


def _percent(counts: tuple[int, int]) -> float:
    right, total = counts
    return 100 * right / total


def build_brackets(config: BracketsConfig) -> BracketsEvaluation:
    """Factory."""
    return BracketsEvaluation(config)

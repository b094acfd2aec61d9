"""Texts that the model writes during training, always from the same prompts, so that a person sees it learn."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from nanochat_framework.config.run_config import SampleSection
from nanochat_framework.contracts.callback import Callback
from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer
from nanochat_framework.errors import NanochatError, UsageError
from nanochat_framework.inference.batch import BatchGenerator
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.prefix import check_prompt
from nanochat_framework.inference.settings import GenerationSettings, SamplingSettings
from nanochat_framework.runs.directory import RunDirectory
from nanochat_framework.runs.outage import Outage, PatientWriter
from nanochat_framework.training.trainer import StepResult, Trainer

_AT_A_TIME = 16


class SampleCallback(Callback):
    """Writes samples.jsonl every `every` steps and after the last; see `[sample]`.

    A record is `{"attempt", "step", "time", "tokens", "prompt_index", "prompt", "text", "finish_reason"}`; `tokens` are those
    trained on. Training is left as it is: sequences draw from generators of their own, and weights are only read. The
    weights are the same in every process, so process 0 samples alone.
    """

    priority = 35  # after the evaluation, before the checkpoint

    def __init__(
        self,
        section: SampleSection,
        run: RunDirectory,
        model: LanguageModel,
        tokenizer: Tokenizer,
        outage: Outage,
    ) -> None:
        """Raises UsageError for a prompt that the model cannot read."""
        self.section, self.run, self._outage = section, run, outage
        self._generator = TextGenerator(model, tokenizer)
        self._prompts = [self._generator.prompt(text) for text in section.prompts]
        for number, prompt in enumerate(self._prompts):
            try:
                check_prompt(model, prompt)
            except UsageError as error:
                raise UsageError(f"sample.prompts.{number}: {error}") from None
        sampling = SamplingSettings(temperature=section.temperature, seed=section.seed)
        self._settings = GenerationSettings(section.max_tokens, sampling)
        self._writer: PatientWriter | None = None
        self._written_at: int | None = None

    def after_step(self, trainer: Trainer, result: StepResult) -> None:
        """Sample when it is due."""
        if not trainer.world.is_main or (result.step % self.section.every and not trainer.finished):
            return
        try:
            self.write(trainer)
        except NanochatError as error:  # scores that are not numbers; whether training goes on is not decided here
            trainer.events.write("sampled", step=result.step, error=str(error))

    def write(self, trainer: Trainer) -> int:
        """Sample, unless that was done after this step already, and write the texts; how many there are.

        Raises NanochatError if the model's scores are not numbers.
        """
        if self._written_at == trainer.step:
            return len(self._prompts)
        samples = self._sample(trainer)
        self._written_at = trainer.step
        if self._writer is None:
            self._writer = PatientWriter(self.run.samples, self._outage)
        head = {"attempt": trainer.events.attempt, "step": trainer.step, "time": time.time(), "tokens": trainer.tokens}
        for sample in samples:
            self._writer.write({**head, **sample})
        trainer.events.write("sampled", step=trainer.step, n_samples=len(samples))
        trainer.callbacks.call("after_samples", trainer, samples)
        return len(samples)

    def _sample(self, trainer: Trainer) -> list[dict[str, Any]]:
        batch = BatchGenerator(self._generator, _AT_A_TIME)
        asked = [batch.add(prompt, self._settings).completion for prompt in self._prompts]
        model = self._generator.model
        was_training = model.training
        model.eval()
        try:
            with _uncompiled(trainer.module.config.train.compile):
                while batch.busy:
                    batch.step()
        finally:
            model.train(was_training)
        return [
            {"prompt_index": index, "prompt": prompt, "text": done.text, "finish_reason": done.finish_reason}
            for index, (prompt, done) in enumerate(zip(self.section.prompts, asked, strict=True))
        ]

    def on_end(self, trainer: Trainer, error: BaseException | None) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _uncompiled(compiled: bool) -> AbstractContextManager[Any]:
    """Run compiled parts as they are written: decoding meets a new length at every step, and would compile for each."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()

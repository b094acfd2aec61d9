"""Several texts at a time: sequences join and leave between steps, each step reads one token of every one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat_framework.inference.continuation import Continuation
from nanochat_framework.inference.engine import TextGenerator
from nanochat_framework.inference.prefix import Prefix, check_prompt, read_prompt
from nanochat_framework.inference.settings import GenerationSettings
from nanochat_framework.model.state import SequenceState


@dataclass(frozen=True)
class _Waiting:
    prompt: tuple[int, ...]
    continuation: Continuation


class BatchGenerator:
    """Generates for whoever asks: `add` a request at any time, and call `step` until nothing is left.

    Each prompt is read alone, as without a batch, when a place becomes free; its states then join the batch's. What a
    request gets does not depend on its company, but for the order in which a processor sums: scores agree to
    float32's accuracy, not in every bit.
    """

    def __init__(self, generator: TextGenerator, max_sequences: int) -> None:
        self.generator, self.max_sequences = generator, max_sequences
        self._waiting: deque[_Waiting] = deque()
        self._running: list[Continuation] = []
        self._states: list[SequenceState] = []
        self._logits: Tensor | None = None
        self._last_read: Prefix | None = None

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._waiting or self._running)

    def add(self, prompt: Sequence[int], settings: GenerationSettings) -> Continuation:
        """Queue a request; its `completion` grows with the steps. Raises UsageError for a prompt that cannot be read."""
        check_prompt(self.generator.model, prompt)
        continuation = self.generator.continuation(prompt, settings)
        self._waiting.append(_Waiting(tuple(prompt), continuation))
        return continuation

    def step(self) -> list[tuple[Continuation, str]]:
        """Let waiting sequences in and draw one token for each that runs; returns what came, maybe "", of each."""
        self._admit()
        if not self._running:
            return []
        assert self._logits is not None
        started = time.perf_counter()
        drawn = [
            (continuation, continuation.advance(self._logits[row, : self.generator.n_tokens]))
            for row, continuation in enumerate(self._running)
        ]
        self._drop_finished()
        self._read_drawn()
        elapsed = time.perf_counter() - started
        for continuation, _ in drawn:
            continuation.completion.seconds += elapsed
        return drawn

    def _admit(self) -> None:
        """Read prompts while there is room, and join their states to the running ones."""
        joining: list[Prefix] = []
        while self._waiting and len(self._running) < self.max_sequences:
            waiting = self._waiting.popleft()
            started = time.perf_counter()
            if self._last_read is None or self._last_read.tokens != waiting.prompt:
                self._last_read = read_prompt(self.generator.model, waiting.prompt)
                waiting.continuation.completion.prompt_seconds = time.perf_counter() - started
            joining.append(self._last_read)
            self._running.append(waiting.continuation)
        if joining:
            parts = [*([self._states] if self._states else []), *(prefix.states for prefix in joining)]
            self._states = [type(layer[0]).join(layer) for layer in zip(*parts, strict=True)]
            logits = torch.stack([prefix.logits for prefix in joining])
            self._logits = logits if self._logits is None else torch.cat([self._logits, logits])

    def _drop_finished(self) -> None:
        """Let finished sequences leave."""
        left = [row for row, continuation in enumerate(self._running) if not continuation.finished]
        if len(left) == len(self._running):
            return
        self._running = [self._running[row] for row in left]
        self._states = [state.select(left) for state in self._states] if left else []

    @torch.no_grad()
    def _read_drawn(self) -> None:
        """Feed each running sequence the token it drew."""
        if not self._running:
            self._logits = None
            return
        model = self.generator.model
        tokens = [continuation.completion.tokens[-1:] for continuation in self._running]
        hidden = model.hidden(torch.tensor(tokens, device=model.device), states=self._states)
        self._logits = model.logits(hidden[:, -1])

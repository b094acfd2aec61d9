"""Contract of an evaluation of a trained model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nanochat_framework.contracts.model import LanguageModel
from nanochat_framework.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a model in evaluation mode, its tokenizer, and the data folder given or trained on.

    `document_attention`: whether the model was trained with documents that do not see each other.
    """

    model: LanguageModel
    tokenizer: Tokenizer | None
    data: Path | None
    document_attention: bool = False


@dataclass(frozen=True)
class Score:
    """One figure: its value and unit, its standard error where it has one, and reference values to hold it against."""

    value: float
    unit: str
    standard_error: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)


class Evaluation(ABC):
    """Scores a model. Factory: `build(config)`."""

    @abstractmethod
    def run(self, subject: Subject) -> dict[str, Score]:
        """Scores by metric name. Raises UsageError when the subject lacks what it needs (a tokenizer, a data folder)."""

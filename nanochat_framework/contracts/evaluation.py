"""Contract of an evaluation of a trained model.

::

    class Sureness(Evaluation):
        def __init__(self, config: NoSettings) -> None:
            pass

        @torch.no_grad()
        def run(self, subject):
            if subject.tokenizer is None:
                raise UsageError("sureness needs a tokenizer")
            tokens = torch.tensor([subject.tokenizer.encode("Once upon a time")], device=subject.model.device)
            likeliest = subject.model(tokens).softmax(dim=-1).amax(dim=-1)
            return {"eval/sureness": Score(float(likeliest.mean()), "probability")}
"""

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
    """Scores a model. Factory: `build(config)`. `nanochat evaluate` calls `run` once.

    The same model on the same data has the same scores: what is drawn is drawn from generators of one's own. The model is
    left as it is.
    """

    @abstractmethod
    def run(self, subject: Subject) -> dict[str, Score]:
        """Scores by metric name, `eval/<name>`.

        Raises UsageError when the subject lacks what it needs (a tokenizer, a data folder).
        """

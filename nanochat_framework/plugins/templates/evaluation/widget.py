"""A count: how many weights of a model are 0."""

from __future__ import annotations

from nanochat_framework.contracts.evaluation import Evaluation, Score, Subject
from nanochat_framework.errors import UsageError
from nanochat_framework.model.parameters import named_parameters

from .config import WidgetConfig


class WidgetEvaluation(Evaluation):
    """Looks at the weights as the model uses them: rounded, where it was trained so.

    A `Subject` also has the tokenizer and the data folder, for evaluations that read or write text.
    """

    def __init__(self, config: WidgetConfig) -> None:
        self.role = config.role

    def run(self, subject: Subject) -> dict[str, Score]:
        """Figures by name, each with its unit. Raises UsageError when the subject lacks what is needed."""
        weights = [p.tensor for p in named_parameters(subject.model) if p.role == self.role]
        total = sum(weight.numel() for weight in weights)
        if not total:
            raise UsageError(f"this model has no parameters of role {self.role!r}")
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        return {
            "eval/zero_weights": Score(100 * zeros / total, "%"),
            "eval/weights": Score(float(total), "weights"),
        }


def build(config: WidgetConfig) -> WidgetEvaluation:
    """Factory of acme/widget."""
    return WidgetEvaluation(config)
